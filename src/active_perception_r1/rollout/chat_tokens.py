"""Conversations as token ids: the text that evaluation gives a model, letter by letter.

A training sequence only ever grows: what was sampled stays as it was sampled, and the chat template
writes only what comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.chat import prompt_text, text_after_reply
from active_perception_r1.sim.messages import Message, Request


class ChatTokens:
    """What a model reads.

    Args:
        processor: as transformers loads it.
        image_options: under which its image processor keeps images as they were sized.
    """

    def __init__(
        self, processor: Any, model: ModelConfig, image_options: Mapping[str, Any]
    ) -> None:
        self._processor = processor
        self._template = model.chat_template_kwargs
        self._image_options = image_options

    def opening(self, request: Request) -> list[int]:
        """Tokens of a request that no reply has been given to, images included."""
        text = prompt_text(
            self._processor.apply_chat_template,
            request,
            self._processor.image_token,
            self._template,
        )
        return self._ids(text, request)

    def following(self, before: Request, after: Request, end: int) -> list[int]:
        """Tokens of what `after` has beyond `before` and the reply to it, which ended in `end`."""
        text = text_after_reply(
            self._processor.apply_chat_template,
            after,
            self._processor.image_token,
            self._template,
        )
        ended: str = self._processor.tokenizer.decode([end])
        return self._ids(text.removeprefix(ended), after[len(before) :], add_special_tokens=False)

    def _ids(self, text: str, messages: Sequence[Message], **options: bool) -> list[int]:
        images = [image for message in messages for image in message.images]
        found = self._processor(
            text=[text],
            images=images or None,
            return_tensors="pt",
            **options,
            **(self._image_options if images else {}),
        )
        ids: list[int] = found["input_ids"][0].tolist()
        return ids
