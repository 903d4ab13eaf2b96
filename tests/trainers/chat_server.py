"""A server of OpenAI's chat completions around the transformers backend, for tests."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.load import load_backend
from active_perception_r1.sim.messages import Message, Part, Reply

MODEL = "tiny"


class ChatServer(ThreadingHTTPServer):
    """Answers every request by itself, greedily, whatever sampling it asks for."""

    daemon_threads = True

    def __init__(self, settings: ModelConfig) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._backend = load_backend(settings)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reply(self, messages: list[dict[str, Any]]) -> Reply:
        request = tuple(Message(said["role"], _parts(said["content"])) for said in messages)
        with self._lock:
            (reply,) = self._backend.generate([request])
        return reply


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.server.reply(body["messages"])
        written, read = reply.completion_tokens, reply.prompt_tokens
        self._answer(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": MODEL,
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": reply.finish_reason,
                        "message": {"role": "assistant", "content": reply.text},
                    }
                ],
                "usage": {
                    "prompt_tokens": read,
                    "completion_tokens": written,
                    "total_tokens": read + written,
                },
            }
        )

    def _answer(self, body: dict[str, Any]) -> None:
        sent = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def chat_server(settings: ModelConfig) -> Iterator[ChatServer]:
    with ChatServer(settings) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _parts(content: str | list[dict[str, Any]]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (content,)
    return tuple(
        part["text"] if part["type"] == "text" else _image(part["image_url"]["url"])
        for part in content
    )


def _image(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
