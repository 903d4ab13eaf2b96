"""Images encoded once: every family is given what its plain processor would have given it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.models.image_cache import ImageCache
from active_perception_r1.sim.messages import Message, Request
from tests.every_family import backend, logits, noise

__all__ = ["backend"]  # a fixture


PAGE, CROP = noise(280, 168), noise(224, 224)
FIRST = (Message("user", (PAGE, "What is the value of A? You may zoom.")),)
SECOND: Request = (
    *FIRST,
    Message("assistant", ('<zoom_roi x0="0.25" y0="0.40" x1="0.45" y1="0.60"/>',)),
    Message("user", (CROP, "What is the value of A? Answer directly.")),
)
REQUESTS = (FIRST, SECOND, FIRST)


def test_a_model_computes_what_it_would_with_the_plain_processor(
    backend: TransformersBackend,
) -> None:
    expected, inputs = backend.encode_afresh(REQUESTS), backend.encode(REQUESTS)
    for name in inputs.keys() & expected.keys():
        assert torch.equal(inputs[name], expected[name]), name
    found, wanted = logits(backend, inputs), logits(backend, expected)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert not torch.equal(wanted[:, 0], wanted[:, 1])


def test_an_image_is_encoded_once_however_often_it_is_shown(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TransformersBackend(untrained_model)
    encoded: list[Image.Image] = []
    encode = ImageCache._encoded

    def counted(self: ImageCache, images: Sequence[Image.Image]) -> list[Any]:
        encoded.extend(images)
        return encode(self, images)

    monkeypatch.setattr(ImageCache, "_encoded", counted)
    backend.encode([FIRST, FIRST])
    backend.encode([SECOND, FIRST])
    assert encoded == [PAGE, CROP]


def test_images_of_the_next_batch_are_prepared_beside_the_model(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = untrained_model.model_copy(update={"batch_size": 2})
    prepared: list[tuple[str, int]] = []
    process = ImageCache._processed

    def noted(self: ImageCache, images: Sequence[Image.Image]) -> Any:
        prepared.append((threading.current_thread().name.partition("_")[0], len(images)))
        return process(self, images)

    monkeypatch.setattr(ImageCache, "_processed", noted)
    views = [noise(112 + 8 * number, 112) for number in range(5)]
    requests = [(Message("user", (view, "What is the value of A?")),) for view in views]
    beside = TransformersBackend(settings).generate(requests)
    assert prepared == [("MainThread", 2), ("prepare", 2), ("prepare", 1)]

    monkeypatch.setattr(ImageCache, "preparing", lambda *_: nullcontext())
    before = TransformersBackend(settings).generate(requests)
    assert [reply.text for reply in beside] == [reply.text for reply in before]
    assert [reply.visual_tokens for reply in beside] == [reply.visual_tokens for reply in before]


def test_an_image_that_cannot_be_prepared_fails_its_own_request(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = ImageCache._processed
    views = [noise(112 + 8 * number, 112) for number in range(3)]

    def failing(self: ImageCache, images: Sequence[Image.Image]) -> Any:
        if any(image is views[2] for image in images):
            raise ValueError("damaged")
        return process(self, images)

    monkeypatch.setattr(ImageCache, "_processed", failing)
    requests = [(Message("user", (view, "What is the value of A?")),) for view in views]
    backend = TransformersBackend(untrained_model.model_copy(update={"batch_size": 1}))
    errors = [reply.error for reply in backend.generate(requests)]
    assert errors == ["", "", "ValueError: damaged"]


def test_an_image_is_forgotten_when_its_episode_is_over(untrained_model: ModelConfig) -> None:
    backend = TransformersBackend(untrained_model)
    before = len(backend._images._seen)
    page = noise(112, 112)
    backend.encode([(Message("user", (page, "What is the value of A?")),)])
    assert len(backend._images._seen) == before + 1
    del page
    gc.collect()
    assert len(backend._images._seen) == before
