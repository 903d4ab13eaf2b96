"""The transformers backend: batches change no reply, and one bad request takes no other with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.models.load import load_backend
from active_perception_r1.modes import BASELINE
from active_perception_r1.sim.messages import FinishReason, Message, Request
from tests.scripted import make_sample, start

VIEW = Image.effect_noise((112, 112), 60).convert("RGB")


def ask(text: str, images: int = 1) -> Request:
    return (Message("user", (*[VIEW] * images, text)),)


REQUESTS = [
    *[ask(f"What is the value of {letter}? Answer directly.") for letter in "ABC"],
    ask("What is the value of row B, column Q? You may zoom.", images=2),
    start(BASELINE, make_sample()).request,
]


@pytest.fixture(scope="module")
def backend(untrained_model: ModelConfig) -> TransformersBackend:
    return TransformersBackend(untrained_model)


def test_replies_do_not_depend_on_the_batch_they_were_computed_in(
    backend: TransformersBackend,
) -> None:
    alone = [backend.generate([request])[0].text for request in REQUESTS]
    together = [reply.text for reply in backend.generate(REQUESTS)]
    backwards = [reply.text for reply in backend.generate(REQUESTS[::-1])][::-1]
    assert alone == together == backwards
    assert len(set(alone)) > 1


def test_tokens_are_counted_and_a_cut_off_reply_says_so(backend: TransformersBackend) -> None:
    short, long = backend.generate([REQUESTS[0], REQUESTS[3]])
    assert long.prompt_tokens > short.prompt_tokens + 16
    assert 0 < short.completion_tokens <= backend.settings.max_new_tokens
    cut = short.completion_tokens == backend.settings.max_new_tokens
    assert cut == (short.finish_reason is FinishReason.LENGTH)


def test_text_that_spells_the_image_placeholder_stays_text(backend: TransformersBackend) -> None:
    (reply,) = backend.generate([ask("<image> <image>? Answer directly.")])
    assert not reply.error


def failing(backend: TransformersBackend, too_many: int, error: Exception) -> Any:
    """`run` of the backend that raises `error` for batches of `too_many` rows or more."""
    run = TransformersBackend.run

    def limited(inputs: dict[str, Any]) -> Any:
        if len(inputs["input_ids"]) >= too_many:
            raise error
        return run(backend, inputs)

    return limited


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_batch_and_drops_nothing(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    backend = TransformersBackend(untrained_model)
    expected = [reply.text for reply in backend.generate(REQUESTS)]
    monkeypatch.setattr(backend, "run", failing(backend, 3, error))
    assert [reply.text for reply in backend.generate(REQUESTS)] == expected
    assert backend._batch_size < 3


def test_one_bad_request_is_the_only_one_that_fails(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = TransformersBackend.encode

    def picky(requests: Sequence[Request]) -> dict[str, Any]:
        if REQUESTS[1] in requests:
            raise ValueError("unreadable")
        return encode(backend, requests)

    monkeypatch.setattr(backend, "encode", picky)
    replies = backend.generate(REQUESTS)
    assert [bool(reply.error) for reply in replies] == [False, True, False, False, False]
    assert "unreadable" in replies[1].error


@pytest.mark.parametrize("model", ["models/missing", "no/such/folder", "./missing"])
def test_a_missing_model_is_named(untrained_model: ModelConfig, model: str) -> None:
    with pytest.raises(BackendError, match=f"'{model}' is neither a folder here nor"):
        load_backend(untrained_model.model_copy(update={"id": model}))


def test_a_damaged_model_is_named(untrained_model: ModelConfig, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackendError, match="cannot be loaded"):
        load_backend(untrained_model.model_copy(update={"id": str(tmp_path)}))
