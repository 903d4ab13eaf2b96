"""Requests as chat templates write them, and replies as tokenizers read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from active_perception_r1.sim.messages import Message, Request, request_id

_REPLY = "a reply of the model, which no template changes"


def template_message(message: Message, placeholder: str) -> dict[str, Any]:
    """A message for a chat template; text that spells the image placeholder stays text.

    >>> template_message(Message("user", ("What is <image>?",)), "<image>")["content"]
    [{'type': 'text', 'text': 'What is < image>?'}]
    """
    content = [
        {"type": "text", "text": _defused(part, placeholder)}
        if isinstance(part, str)
        else {"type": "image"}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}


def prompt_text(
    apply_template: Callable[..., str],
    request: Request,
    placeholder: str,
    options: dict[str, Any] | None = None,
) -> str:
    """A request as the model reads it.

    Where functions are called, the prompt begins with the last prompt and the reply to it, letter
    by letter: templates may drop a thought or even out white space when they write a reply again,
    and then what a model is shown, and trained on, would not be what it said. So a template writes
    only what comes after a reply.

    Args:
        apply_template: a processor's `apply_chat_template`.
        options: of the template, such as `enable_thinking`.
    """
    replies = [i for i, message in enumerate(request) if message.role == "assistant"]
    calls_functions = any(message.tools or message.role == "tool" for message in request)
    if not (replies and calls_functions):
        return _written(apply_template, request, placeholder, options)
    last = replies[-1]
    before = prompt_text(apply_template, request[:last], placeholder, options)
    reply = "".join(map(str, request[last].parts))
    after = text_after_reply(apply_template, request, placeholder, options)
    return before + _defused(reply, placeholder) + after


def text_after_reply(
    apply_template: Callable[..., str],
    request: Request,
    placeholder: str,
    options: dict[str, Any] | None = None,
) -> str:
    """What a template writes after the last reply: its end, the messages after it, an opening."""
    last = max(i for i, message in enumerate(request) if message.role == "assistant")
    marked = (*request[:last], Message("assistant", (_REPLY,)), *request[last + 1 :])
    return _written(apply_template, marked, placeholder, options).rpartition(_REPLY)[2]


def _written(
    apply_template: Callable[..., str],
    messages: Sequence[Message],
    placeholder: str,
    options: dict[str, Any] | None,
) -> str:
    return apply_template(
        [template_message(message, placeholder) for message in messages if message.parts],
        add_generation_prompt=True,
        **functions_of(messages),
        **(options or {}),
    )


def functions_of(request: Sequence[Message]) -> dict[str, Any]:
    """What a request declares, as the argument `tools` of chat templates and servers."""
    tools = [json.loads(tool) for message in request for tool in message.tools]
    return {"tools": tools} if tools else {}


def _defused(text: str, placeholder: str) -> str:
    return text.replace(placeholder, f"{placeholder[0]} {placeholder[1:]}")


def reply_text(tokenizer: Any, tokens: Sequence[int], marks: Collection[str]) -> str:
    """What a model said: without control tokens, but for `marks`, which belong to its words."""
    kept = set(tokenizer.convert_tokens_to_ids(list(marks)))
    added = tokenizer.added_tokens_decoder.items()
    dropped = {number for number, token in added if token.special} - kept
    text: str = tokenizer.decode([t for t in tokens if t not in dropped])
    return text


def request_seed(request: Request, seed: int) -> int:
    """A seed for sampling the reply to `request`, the same in whatever batch it is asked."""
    return int(request_id(request)[:7], 16) ^ (seed & 0xFFFFFFF)
