"""A server of OpenAI's chat completions that misbehaves on demand, for tests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "served-model"
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "<answer>42</answer>"},
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


class MisbehavingServer(ThreadingHTTPServer):
    """Answers each chat completion as the next of `script` says, and `ok` when it is used up.

    Words of the script: `ok`, `fail` (status 500), `refuse` (400), `limit` (429 with Retry-After),
    `stall`, `cut` (connection closed in the body), `garbage`, `empty` (JSON, but no completion),
    `length` (a reply cut off by its token limit), `filtered`.

    Attributes:
        answer: the text of a good reply to a request, or the message as a whole.
        refuses: parameters that no request may have.
        lists_models: whether it tells which models it has.
        received: (seconds of a monotonic clock, headers, body) of every completion asked for.
        most_at_once: highest number of completions under way together.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[str] = []
        self.retry_after = "0.3"
        self.stall_seconds = 1.0
        self.work_seconds = 0.0
        self.answer: Callable[[dict[str, Any]], str | dict[str, Any]] = lambda body: (
            "<answer>42</answer>"
        )
        self.refuses: set[str] = set()
        self.lists_models = True
        self.received: list[tuple[float, dict[str, str], dict[str, Any]]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up is no news."""

    @contextmanager
    def completion(self, headers: dict[str, str], body: dict[str, Any]) -> Iterator[str]:
        with self._lock:
            self.received.append((time.monotonic(), headers, body))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            word = self.script.pop(0) if self.script else "ok"
        try:
            yield word
        finally:
            with self._lock:
                self._at_once -= 1


class _Handler(BaseHTTPRequestHandler):
    server: MisbehavingServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the terminal."""

    def do_GET(self) -> None:
        if self.server.lists_models:
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self._send(404, {"error": {"message": "not found"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.completion(dict(self.headers), body) as word:
            time.sleep(self.server.work_seconds)
            self._misbehave(word, body)

    def _misbehave(self, word: str, body: dict[str, Any]) -> None:
        for name in sorted(self.server.refuses & body.keys()):
            told = f"Unsupported parameter: '{name}' is not supported with this model."
            self._send(400, {"error": {"message": told, "param": name}})
            return
        match word:
            case "ok":
                answer = self.server.answer(body)
                message = answer if isinstance(answer, dict) else {"content": answer}
                reason = "tool_calls" if message.get("tool_calls") else "stop"
                choice = {"index": 0, "finish_reason": reason, "message": message}
                message["role"] = "assistant"
                self._send(200, {**COMPLETION, "choices": [choice]})
            case "length" | "filtered":
                reason = "length" if word == "length" else "content_filter"
                choice = {**COMPLETION["choices"][0], "finish_reason": reason}  # type: ignore[index]
                self._send(200, {**COMPLETION, "choices": [choice]})
            case "fail":
                self._send(500, {"error": {"message": "out of order"}})
            case "refuse":
                self._send(400, {"error": {"message": "prompt is too long"}})
            case "limit":
                self._send(429, {"error": {"message": "slow down"}}, self.server.retry_after)
            case "stall":
                time.sleep(self.server.stall_seconds)
                self.close_connection = True
            case "cut":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"id": "1", "choices": [{"index": 0, "mess')
                self.close_connection = True
            case "garbage":
                self._send(200, b"<html>It works!</html>")
            case "empty":
                self._send(200, {"id": "1", "choices": []})

    def _send(self, status: int, content: Any, retry_after: str = "") -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def misbehaving_server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
