"""Models behind any server that speaks OpenAI's chat completions: vLLM, SGLang, hosted ones.

The client library retries what may pass (lost connections, time-outs, status 408, 409, 429, 5xx)
with exponential, jittered pauses, or for as long as the server's `Retry-After` asks. What remains
is the error of one request and no other.

Replies may cost money, and cost time in any case, so each is written down in the moment it comes.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Any

from openai import APIStatusError, OpenAI, OpenAIError

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends import Answered, Backend
from active_perception_r1.models.backends._openai_wire import Wire
from active_perception_r1.sim.messages import FinishReason, Reply, Request, request_id
from active_perception_r1.storage.fingerprint import fingerprint
from active_perception_r1.storage.journal import Journal

_FORMAT = "replies, under a fingerprint of all that they are replies to"
_STOPPED = "not asked any more, because this run was ended"
_NO_KEY = "none"  # The client wants one; servers without accounts ignore it.


class _Client(OpenAI):
    """One that can be stopped: then pauses end, and with them the tries that would follow."""

    stopped: threading.Event

    def _sleep_for_retry(
        self, *, retries_taken: int, max_retries: int, options: Any, response: Any
    ) -> None:
        headers = None if response is None else response.headers
        left = max_retries - retries_taken
        if self.stopped.wait(self._calculate_retry_timeout(left, options, headers)):
            raise OpenAIError(_STOPPED)


class OpenAIBackend(Backend):
    """A served model. Its `revision` is the name it is served under: servers tell no commit.

    Raises:
        BackendError: the key is not in the environment, nobody answers, or the server has no such
            model.
    """

    def __init__(self, settings: ModelConfig) -> None:
        if settings.openai is None:
            raise BackendError(f"model '{settings.id}': backend openai needs its section openai")
        self.settings = settings
        self._server = settings.openai
        self._wire = Wire(settings)
        self.revision = f"served:{self._wire.model}"
        self.set_aside: Mapping[str, Any] = {}  # Nobody but the server sees its checkpoint.
        # It writes requests, which hold whole pages, into the log of every job.
        logging.getLogger("openai").setLevel(logging.WARNING)
        self._client = _Client(
            base_url=self._server.base_url,
            api_key=_key(self._server.api_key_env),
            timeout=self._server.timeout_seconds,
            max_retries=self._server.retries,
        )
        self._client.stopped = threading.Event()
        if self._server.check_models:
            self._require_model()
        self.live = self._server.concurrency
        self._threads = ThreadPoolExecutor(self._server.concurrency, "ask")
        self._numbers = count()
        self._asked: dict[Future[Reply], int] = {}
        self._kept: Journal | None = None
        self._asked_how = json.dumps(settings.deciding(), sort_keys=True)
        self._has_replied = False
        self._under_way = 0
        self._ended = threading.Condition()

    def submit(self, request: Request) -> int:
        number = next(self._numbers)
        self._asked[self._threads.submit(self._reply_to, request)] = number
        return number

    def collect(self) -> Answered:
        """As `Backend.collect`.

        Raises:
            BackendError: the server refuses what the entry says, and has never replied.
        """
        done, _ = wait(self._asked, return_when=FIRST_COMPLETED)
        return [(self._asked.pop(future), future.result()) for future in done]

    def keep_replies(self, path: Path) -> None:
        self._kept = Journal(path, _FORMAT)

    def close(self) -> None:
        """Waits for the requests under way, and keeps their replies; nothing is tried again."""
        self._client.stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        # Not by the pool's own means: it does not know a thread that it was about to start.
        with self._ended:
            self._ended.wait_for(lambda: not self._under_way)
        if self._kept is not None:
            self._kept.close()

    def _reply_to(self, request: Request) -> Reply:
        """In a thread; `close` waits for it."""
        with self._ended:
            if self._client.stopped.is_set():
                return _failed(_STOPPED)
            self._under_way += 1
        try:
            return self._kept_or_asked(request)
        finally:
            with self._ended:
                self._under_way -= 1
                self._ended.notify_all()

    def _kept_or_asked(self, request: Request) -> Reply:
        """The kept reply, or the server's, which is kept."""
        if self._kept is None:
            return self._ask(request)
        id = fingerprint(request_id(request), self._asked_how)
        if (kept := self._kept.get(id)) is not None:
            return Reply.from_json(kept)
        reply = self._ask(request)
        if not reply.error:
            self._kept.append(id, reply.to_json())
        return reply

    def _ask(self, request: Request) -> Reply:
        start = time.perf_counter()
        try:
            answer = self._client.chat.completions.create(**self._wire.body(request))
            reply = self._wire.reply(request, answer, time.perf_counter() - start)
        except APIStatusError as error:
            return _failed(self._refused(error))
        # Servers send anything: what is no completion ends up as errors of any kind.
        except Exception as error:
            return _failed(_described(error))
        self._has_replied = True
        return reply

    def _refused(self, error: APIStatusError) -> str:
        cure = self._wire.cure(error)
        told = f"{_described(error)}; {cure.text}" if cure else _described(error)
        if cure and not cure.for_one and not self._has_replied:
            raise BackendError(f"{self._server.base_url}: {told}")
        return told

    def _require_model(self) -> None:
        try:
            served = [model.id for model in self._client.models.list()]
        except (OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise BackendError(
                f"{self._server.base_url}: no list of models ({_described(error)}); is the server"
                " up, and the key in the environment? Where a server keeps no list, set"
                " openai.check_models to false"
            ) from None
        if self._wire.model not in served:
            names = ", ".join(served[:10]) or "none"
            raise BackendError(
                f"{self._server.base_url} does not serve '{self._wire.model}'; it serves: {names}"
            )


def _key(variable: str | None) -> str:
    if variable is None:
        return _NO_KEY
    if not (key := os.environ.get(variable)):
        raise BackendError(f"{variable} is not set; put the key of the server into it")
    return key


def _failed(error: str) -> Reply:
    return Reply("", FinishReason.ERROR, error=error)


def _described(error: Exception) -> str:
    """One line; of a body that was to be JSON, not what it holds."""
    if isinstance(error, json.JSONDecodeError | AttributeError | TypeError | IndexError):
        return f"the server's answer is not a completion ({type(error).__name__})"
    told = _told(error.body) if isinstance(error, APIStatusError) else ""
    return f"{type(error).__name__}: {' '.join((told or str(error)).split())[:300]}"


def _told(body: object) -> str:
    """The message in the body of a refusal."""
    return str(body.get("message") or "") if isinstance(body, dict) else ""


BACKEND = OpenAIBackend
