"""Images as a vision tower that does not change sees them: each one is encoded once.

The episodes of a group share their first view, and every later turn shows the earlier images again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from active_perception_r1.models.transformers_backend import Inputs, TransformersBackend
from active_perception_r1.sim.messages import Request


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image, held so that its identity stays its own.

    Attributes:
        tokens: the ids that stand for it in a prompt.
        features: (image tokens, width) outputs of the vision tower and the projection behind it.
    """

    image: Image.Image
    tokens: list[int]
    features: torch.Tensor


class ImageCache:
    """Encodes requests to one model, and remembers their images by identity.

    It is out of date as soon as the vision tower is trained, and holds on to every image: make one
    for every round of episodes.
    """

    def __init__(self, backend: TransformersBackend) -> None:
        self._backend = backend
        self._seen: dict[int, _Seen] = {}

    def encode(self, requests: Sequence[Request]) -> tuple[Inputs, tuple[torch.Tensor, ...]]:
        """Token ids as `TransformersBackend.encode` gives them, and the features for each request.

        The features of a request are those of its images, one after the other: (tokens, width).
        """
        images = [
            [image for message in request for image in message.images] for request in requests
        ]
        self._look_at(image for shown in images for image in shown)
        seen = [[self._seen[id(image)] for image in shown] for shown in images]
        processor = self._backend.processor
        rows = processor.tokenizer(self._backend.texts(requests))["input_ids"]
        expanded = [
            _expanded(row, processor.image_token_id, shown)
            for row, shown in zip(rows, seen, strict=True)
        ]
        inputs = processor.tokenizer.pad({"input_ids": expanded}, return_tensors="pt")
        features = tuple(torch.cat([image.features for image in shown]) for shown in seen)
        return {name: value.to(self._backend.device) for name, value in inputs.items()}, features

    def _look_at(self, images: Iterable[Image.Image]) -> None:
        """Encode what was not seen before, in batches."""
        new = list({id(image): image for image in images if id(image) not in self._seen}.values())
        size = self._backend.settings.batch_size
        for first in range(0, len(new), size):
            batch = new[first : first + size]
            for image, seen in zip(batch, self._encoded(batch), strict=True):
                self._seen[id(image)] = seen

    def _encoded(self, images: Sequence[Image.Image]) -> list[_Seen]:
        processor = self._backend.processor
        inputs = processor(
            text=[processor.image_token] * len(images),
            images=[[image] for image in images],
            padding=True,
            add_special_tokens=False,
            return_tensors="pt",
        ).to(self._backend.device)
        ids, used = inputs.pop("input_ids"), inputs.pop("attention_mask").bool()
        with torch.no_grad():
            pooled = self._backend.model.get_image_features(**inputs, return_dict=True)
        return [
            _Seen(image, row[mask].tolist(), features)
            for image, row, mask, features in zip(
                images, ids, used, pooled.pooler_output, strict=True
            )
        ]


def _expanded(row: Sequence[int], placeholder: int, images: Sequence[_Seen]) -> list[int]:
    """The ids of a text with each placeholder replaced by what stands for its image."""
    remaining = iter(images)
    tokens: list[int] = []
    for token in row:
        tokens += next(remaining).tokens if token == placeholder else [token]
    return tokens
