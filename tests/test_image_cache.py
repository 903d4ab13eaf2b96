"""Images encoded once: the model is given what the plain processor would have given it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.image_cache import ImageCache
from active_perception_r1.models.transformers_backend import TransformersBackend
from active_perception_r1.sim.messages import Message, Request

PAGE, CROP = (Image.effect_noise((112, 112), spread).convert("RGB") for spread in (60, 120))
FIRST = (Message("user", (PAGE, "What is the value of A? You may zoom.")),)
SECOND: Request = (
    *FIRST,
    Message("assistant", ('<zoom_roi x0="0.25" y0="0.40" x1="0.45" y1="0.60"/>',)),
    Message("user", (CROP, "What is the value of A? Answer directly.")),
)
REQUESTS = (FIRST, SECOND, FIRST)


@pytest.fixture(scope="module")
def backend(untrained_model: ModelConfig) -> TransformersBackend:
    return TransformersBackend(untrained_model)


def test_the_model_sees_the_tokens_and_features_of_the_plain_processor(
    backend: TransformersBackend,
) -> None:
    inputs, features = ImageCache(backend).encode(REQUESTS)
    plain = backend.encode(REQUESTS)
    assert torch.equal(inputs["input_ids"], plain.pop("input_ids"))
    assert torch.equal(inputs["attention_mask"], plain.pop("attention_mask"))
    with torch.no_grad():
        expected = backend.model.get_image_features(**plain, return_dict=True).pooler_output
    for found, wanted in zip(features, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_an_image_is_encoded_once_however_often_it_is_shown(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Image.Image] = []
    encode = ImageCache._encoded

    def counted(self: ImageCache, images: Sequence[Image.Image]) -> list[object]:
        encoded.extend(images)
        return encode(self, images)  # type: ignore[return-value]

    monkeypatch.setattr(ImageCache, "_encoded", counted)
    cache = ImageCache(backend)
    cache.encode([FIRST, FIRST])
    cache.encode([SECOND, FIRST])
    assert encoded == [PAGE, CROP]
