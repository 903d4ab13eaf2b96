"""What passes between an episode and whatever runs the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from PIL import Image

Part = str | Image.Image


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Message:
    """One turn of a conversation: text and RGB images in the order the model reads them.

    Attributes:
        tools: JSON schemas of the functions that a system message declares.
    """

    role: Literal["system", "user", "assistant", "tool"]
    parts: tuple[Part, ...]
    tools: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[Image.Image, ...]:
        return tuple(part for part in self.parts if not isinstance(part, str))


Request = tuple[Message, ...]


class FinishReason(StrEnum):
    """Why the model stopped: it ended its turn, or ran out of tokens, or the engine failed."""

    STOP = "stop"
    LENGTH = "length"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote, without control tokens; `error` is set when the engine failed.

    Attributes:
        visual_tokens: of the prompt's tokens, those of its images; None if nobody can tell.
        visual_tokens_estimated: they were not counted, but follow from the sizes of the images.

    Servers may send halves of surrogate pairs, which UTF-8, and so no file and no next request, can
    hold. They are repaired here, where every reply enters:

    >>> Reply("A smile: \\ud83d\\ude00, half of one: \\ud83d", FinishReason.STOP).text
    'A smile: 😀, half of one: �'
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str = ""
    visual_tokens: int | None = None
    visual_tokens_estimated: bool = False

    def to_json(self) -> str:
        """One line of JSON, without a line break."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Reply:
        """Inverse of `to_json`."""
        row = json.loads(line)
        return cls(**{**row, "finish_reason": FinishReason(row["finish_reason"])})

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _storable(self.text))
        object.__setattr__(self, "error", _storable(self.error))


def request_id(request: Iterable[Message]) -> str:
    """sha256 (hex) over roles, texts and pixels of a request: equal ids, equal input."""
    digest = hashlib.sha256()
    for message in request:
        digest.update(f"\0message\0{message.role}".encode())
        for tool in message.tools:
            digest.update(b"\0tool\0" + tool.encode())
        for part in message.parts:
            if isinstance(part, str):
                digest.update(b"\0text\0" + part.encode())
            else:
                digest.update(f"\0image\0{part.mode}{part.size}".encode() + part.tobytes())
    return digest.hexdigest()


def _storable(text: str) -> str:
    """Surrogates joined to the character that a pair of them means, others replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
