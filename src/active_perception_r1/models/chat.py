"""Requests as the messages that chat templates take."""

from __future__ import annotations

from typing import Any

from active_perception_r1.sim.messages import Message, Request, request_id


def template_message(message: Message, placeholder: str) -> dict[str, Any]:
    """A message for a chat template; text that spells the image placeholder stays text.

    >>> template_message(Message("user", ("What is <image>?",)), "<image>")["content"]
    [{'type': 'text', 'text': 'What is < image>?'}]
    """
    defused = f"{placeholder[0]} {placeholder[1:]}"
    content = [
        {"type": "text", "text": part.replace(placeholder, defused)}
        if isinstance(part, str)
        else {"type": "image"}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}


def request_seed(request: Request, seed: int) -> int:
    """A seed for sampling the reply to `request`, the same in whatever batch it is asked."""
    return int(request_id(request)[:7], 16) ^ (seed & 0xFFFFFFF)
