"""Models behind any server that speaks OpenAI's chat completions: vLLM, SGLang, hosted ones.

The client library retries what may pass (lost connections, time-outs, status 408, 409, 429, 5xx)
with exponential, jittered pauses, or for as long as the server's `Retry-After` asks. What remains
is the error of one request and no other.

Replies may cost money, and cost time in any case, so each is written down in the moment it comes.
"""

from __future__ import annotations

import base64
import io
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

from openai import OpenAI, OpenAIError
from PIL import Image

from active_perception_r1.config import DecodingConfig, ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends import Answered, Backend
from active_perception_r1.models.chat import request_seed
from active_perception_r1.sim.messages import FinishReason, Message, Reply, Request, request_id
from active_perception_r1.storage.fingerprint import fingerprint
from active_perception_r1.storage.journal import Journal

_NOT_IN_OPENAI = ("top_k", "min_p", "repetition_penalty")
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
        self._model = settings.openai.model or settings.id
        self.revision = f"served:{self._model}"
        self.set_aside: Mapping[str, Any] = {}  # Nobody but the server sees its checkpoint.
        self._decoding = _decoding(settings.decoding)
        # It writes requests, which hold whole pages, into the log of every job.
        logging.getLogger("openai").setLevel(logging.WARNING)
        self._client = _Client(
            base_url=self._server.base_url,
            api_key=_key(self._server.api_key_env),
            timeout=self._server.timeout_seconds,
            max_retries=self._server.retries,
        )
        self._client.stopped = threading.Event()
        self._require_model()
        self.live = self._server.concurrency
        self._threads = ThreadPoolExecutor(self._server.concurrency, "ask")
        self._numbers = count()
        self._asked: dict[Future[Reply], int] = {}
        self._kept: Journal | None = None
        self._under_way = 0
        self._ended = threading.Condition()

    def submit(self, request: Request) -> int:
        number = next(self._numbers)
        self._asked[self._threads.submit(self._reply_to, request)] = number
        return number

    def collect(self) -> Answered:
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
        parameters = self._parameters(request)
        if self._kept is None:
            return self._ask(request, parameters)
        id = fingerprint(request_id(request), self._server.base_url, json.dumps(parameters))
        if (kept := self._kept.get(id)) is not None:
            return Reply.from_json(kept)
        reply = self._ask(request, parameters)
        if not reply.error:
            self._kept.append(id, reply.to_json())
        return reply

    def _parameters(self, request: Request) -> dict[str, Any]:
        """All that is sent beside the messages."""
        return {
            "model": self._model,
            "max_tokens": self.settings.max_new_tokens,
            "seed": request_seed(request, self.settings.seed),
            **self._decoding,
        }

    def _ask(self, request: Request, parameters: dict[str, Any]) -> Reply:
        start = time.perf_counter()
        messages: Any = [_message(message) for message in request]
        try:
            answer = self._client.chat.completions.create(messages=messages, **parameters)
            return _reply(answer, time.perf_counter() - start)
        # Servers send anything: what is no completion ends up as errors of any kind.
        except Exception as error:
            return _failed(_described(error))

    def _require_model(self) -> None:
        try:
            served = [model.id for model in self._client.models.list()]
        except (OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise BackendError(
                f"{self._server.base_url}: no list of models ({_described(error)}); is the server"
                " up, and the key in the environment?"
            ) from None
        if self._model not in served:
            names = ", ".join(served[:10]) or "none"
            raise BackendError(
                f"{self._server.base_url} does not serve '{self._model}'; it serves: {names}"
            )


def _key(variable: str | None) -> str:
    if variable is None:
        return _NO_KEY
    if not (key := os.environ.get(variable)):
        raise BackendError(f"{variable} is not set; put the key of the server into it")
    return key


def _decoding(decoding: DecodingConfig) -> dict[str, Any]:
    """All of it, or servers fill in what the checkpoint says; what only some of them take, apart.

    `top_k` of -1 is all tokens for every server that knows the word.
    """
    known = decoding.model_dump()
    known["top_k"] = decoding.top_k or -1
    extra = {name: known.pop(name) for name in _NOT_IN_OPENAI}
    return {**known, "extra_body": extra}


def _message(message: Message) -> dict[str, Any]:
    if message.role == "assistant":
        return {"role": message.role, "content": "".join(map(str, message.parts))}
    return {"role": message.role, "content": [_part(part) for part in message.parts]}


def _part(part: str | Image.Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    encoded = io.BytesIO()
    part.save(encoded, "PNG", compress_level=1)  # lossless: the server sees the pixels we made
    data = base64.b64encode(encoded.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _reply(answer: Any, seconds: float) -> Reply:
    choice = answer.choices[0]
    text, reason = choice.message.content or "", choice.finish_reason
    if reason not in ("stop", "length"):
        raise ValueError(f"the reply ended for the reason '{reason}'")
    prompt = answer.usage.prompt_tokens if answer.usage else 0
    written = answer.usage.completion_tokens if answer.usage else 0
    return Reply(text, FinishReason(reason), prompt, written, seconds)


def _failed(error: str) -> Reply:
    return Reply("", FinishReason.ERROR, error=error)


def _described(error: Exception) -> str:
    """One line; of a body that was to be JSON, not what it holds."""
    if isinstance(error, json.JSONDecodeError | AttributeError | TypeError | IndexError):
        return f"the server's answer is not a completion ({type(error).__name__})"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


BACKEND = OpenAIBackend
