"""What is sent to a server of OpenAI's chat completions, and what its replies mean."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai import APIStatusError
from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.families import family_of
from active_perception_r1.models.chat import functions_of, request_seed
from active_perception_r1.sim.function_calls import FunctionCall, taken_apart
from active_perception_r1.sim.messages import FinishReason, Part, Reply, Request

_NOT_IN_OPENAI = ("top_k", "min_p", "repetition_penalty")
_ENDED = {
    "stop": FinishReason.STOP,
    "tool_calls": FinishReason.STOP,
    "function_call": FinishReason.STOP,
    "length": FinishReason.LENGTH,
}
_ROOM = "lower first_view.max_pixels, crop.max_pixels, max_zooms or max_new_tokens"
_SEE_BELOW = "The region is in the next message."


@dataclass(frozen=True, slots=True)
class Cure:
    """What to change in a model's entry; `for_one`: only this request may need it."""

    text: str
    for_one: bool = False


class Wire:
    """One model's entry as parameters and messages."""

    def __init__(self, settings: ModelConfig) -> None:
        assert settings.openai is not None
        self._server = settings.openai
        self._settings = settings
        self._native = self._server.tools == "native"
        self.model = self._server.model or settings.id

    def body(self, request: Request) -> dict[str, Any]:
        """All that is sent. What the entry's `decoding` says is sent in full, or a server would
        fill in what the checkpoint says.
        """
        decoding = self._settings.decoding.model_dump()
        decoding["top_k"] = decoding["top_k"] or -1  # All tokens, for every server with the word.
        decoding["seed"] = request_seed(request, self._settings.seed)
        sent = {name: value for name, value in decoding.items() if name not in self._server.omit}
        extra = {name: sent.pop(name) for name in _NOT_IN_OPENAI if name in sent}
        if self._settings.chat_template_kwargs:
            extra["chat_template_kwargs"] = self._settings.chat_template_kwargs
        tools = functions_of(request)
        if tools and not self._native:
            tools["tool_choice"] = "none"  # Declared in the prompt, and left to us to read.
        return {
            "model": self.model,
            "messages": list(self._messages(request)),
            self._server.token_limit: self._settings.max_new_tokens,
            **sent,
            **tools,
            "extra_body": {**extra, **self._server.extra_body},
        }

    def _messages(self, request: Request) -> Iterator[dict[str, Any]]:
        waiting: list[str] = []  # Ids of calls that have no answer yet.
        crops: list[Image.Image] = []  # What the answers of this turn show in a user's message.
        for number, message in enumerate(request):
            if message.role != "tool" and crops:
                yield _said("user", crops)
                crops = []
            if message.role == "user" and waiting:  # A family that brings crops so.
                yield from (_answer(id, [_SEE_BELOW]) for id in waiting)
                waiting = []
            if message.role == "assistant":
                text = "".join(map(str, message.parts))
                calls = taken_apart(text)[1] if self._native else []
                waiting = [f"call_{number}_{index}" for index in range(len(calls))]
                yield _called(text, waiting, calls) if calls else _assistant(text)
            elif message.role == "tool" and waiting:
                parts = message.parts
                if message.images and self._server.crop_role == "user":
                    crops += message.images
                    parts = (_SEE_BELOW, *(part for part in parts if isinstance(part, str)))
                yield _answer(waiting.pop(0), parts)
            elif message.parts:
                yield _said(message.role, message.parts)
        if crops:
            yield _said("user", crops)

    def reply(self, request: Request, completion: Any, seconds: float) -> Reply:
        """What a completion says, calls of functions at its end.

        Servers count the tokens of a prompt together: those of its images are estimated from their
        sizes, where the entry's family fixes how they become tokens.

        Raises:
            ValueError: it ended for no reason of the model's.
            AttributeError, TypeError, IndexError: it is no completion.
        """
        choice = completion.choices[0]
        if choice.finish_reason not in _ENDED:
            raise ValueError(f"the reply ended for the reason '{choice.finish_reason}'")
        text = choice.message.content or ""
        for call in (choice.message.tool_calls or ()) if self._native else ():
            text += FunctionCall(call.function.name, call.function.arguments).text()
        prompt = completion.usage.prompt_tokens if completion.usage else 0
        written = completion.usage.completion_tokens if completion.usage else 0
        visual = self._visual_tokens(request) if prompt else None
        return Reply(
            text,
            _ENDED[choice.finish_reason],
            prompt,
            written,
            seconds,
            visual_tokens=visual,
            visual_tokens_estimated=visual is not None,
        )

    def _visual_tokens(self, request: Request) -> int | None:
        """None where only the model's processor could tell."""
        family = family_of(self._settings.family)
        sizes = [image.width * image.height for m in request for image in m.images]
        counts = [family.tokens(pixels) for pixels in sizes]
        return sum(counts) if all(counts) else None

    def cure(self, error: APIStatusError) -> Cure | None:
        """What helps against a refusal, where that is known."""
        status, told = error.status_code, str(error)
        if status in (401, 403):
            return Cure("put a key that it accepts into the variable that openai.api_key_env names")
        if status == 404:
            return Cure("correct openai.base_url or openai.model")
        if status == 413 or re.search("context (length|window)|too long|too large", told):
            return Cure(_ROOM, for_one=True)
        if status in (400, 422) and (name := self._refused(error)):
            return Cure(self._cures()[name])
        return None

    def _refused(self, error: APIStatusError) -> str:
        """The parameter that a refusal names: as servers name it in JSON, or else in words."""
        words = re.findall(r"\w+", f"{error.param} {error}")
        return next((word for word in words if word in self._cures()), "")

    def _cures(self) -> Mapping[str, str]:
        """By parameter; other words that servers use for the same among them."""
        sent = ["seed", *type(self._settings.decoding).model_fields]
        limits = {"max_tokens", "max_completion_tokens"}
        (other,) = limits - {self._server.token_limit}
        in_text = "set openai.tools to text"
        tools = {"tools": in_text, "tool_choice": in_text, "tool_calls": in_text}
        extra = dict.fromkeys(self._server.extra_body, "take it out of openai.extra_body")
        return {
            **{name: f"add {name} to openai.omit" for name in sent},
            self._server.token_limit: f"set openai.token_limit to {other}",
            **tools,
            "tool": "set openai.crop_role to user, or openai.tools to text",
            **extra,
        }


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _called(text: str, ids: list[str], calls: list[FunctionCall]) -> dict[str, Any]:
    words, _ = taken_apart(text)
    listed = [
        {
            "id": id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for id, call in zip(ids, calls, strict=True)
    ]
    return {"role": "assistant", "content": words or None, "tool_calls": listed}


def _answer(id: str, parts: Sequence[Part]) -> dict[str, Any]:
    return {**_said("tool", parts), "tool_call_id": id}


def _said(role: str, parts: Sequence[Part]) -> dict[str, Any]:
    # Of nothing an empty text: servers refuse an empty list.
    return {"role": role, "content": [content_part(part) for part in parts] or ""}


def content_part(part: Part) -> dict[str, Any]:
    """A text, or an image without loss, as a part of a message."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    encoded = io.BytesIO()
    part.save(encoded, "PNG", compress_level=1)  # lossless: the server sees the pixels we made
    data = base64.b64encode(encoded.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
