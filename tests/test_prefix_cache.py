"""Conversations continued where they stood: every family answers as if it had read all again."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
import torch
from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.models import prefix_cache
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.sim.messages import Message, Request
from tests.every_family import backend, logits, noise

__all__ = ["backend"]  # a fixture

ZOOM = '<zoom_roi x0="0.25" y0="0.40" x1="0.45" y1="0.60"/>'
_numbers = count()


def ask(words: int | None = None) -> Request:
    """A question of a length of its own, or of so many words more, about a page of its own."""
    more = next(_numbers) % 4 if words is None else words
    question = "What is the value of " + "A " * more + "? You may zoom."
    return (Message("user", (noise(280, 168), question)),)


def go_on(request: Request, text: str, *images: Image.Image) -> Request:
    observation = Message("user", (*images, "Answer directly."))
    return (*request, Message("assistant", (text,)), observation)


@pytest.fixture
def small(untrained_model: ModelConfig) -> TransformersBackend:
    return TransformersBackend(untrained_model)


def resumed(backend: TransformersBackend, requests: Sequence[Request]) -> dict[str, Any]:
    return backend._prefixes.resume(requests, backend.encode(requests))


def known(inputs: dict[str, Any]) -> int:
    """Columns of a batch that need not be computed."""
    return int(inputs["past_key_values"].get_seq_length())


def test_a_later_turn_is_answered_as_if_all_were_read_again(backend: TransformersBackend) -> None:
    asked = [ask() for _ in range(4)]
    texts = [reply.text for reply in backend.generate(asked)]
    later = [go_on(*turn, noise(224, 224)) for turn in zip(asked, texts, strict=True)]
    inputs, afresh = resumed(backend, later), backend.encode(later)
    assert known(inputs) > inputs["input_ids"].shape[1] // 3
    torch.testing.assert_close(
        logits(backend, inputs), logits(backend, afresh), atol=1e-4, rtol=1e-4
    )


def test_conversations_of_any_length_meet_in_a_batch(backend: TransformersBackend) -> None:
    first, second = ask(), ask()
    backend.generate([first])
    second = go_on(second, ZOOM, noise(224, 224))
    backend.generate([second])
    batch = [go_on(first, ZOOM, noise(224, 224)), go_on(second, ZOOM, noise(224, 224)), ask()]
    inputs, afresh = resumed(backend, batch), backend.encode(batch)
    torch.testing.assert_close(
        logits(backend, inputs), logits(backend, afresh), atol=1e-4, rtol=1e-4
    )


def test_a_turn_without_a_new_image_is_answered_the_same(backend: TransformersBackend) -> None:
    asked = ask()
    backend.generate([asked])
    later = [go_on(asked, ZOOM)]
    inputs, afresh = resumed(backend, later), backend.encode(later)
    torch.testing.assert_close(
        logits(backend, inputs), logits(backend, afresh), atol=1e-4, rtol=1e-4
    )


def test_requests_that_are_alike_are_answered_as_if_each_was_read(
    backend: TransformersBackend,
) -> None:
    one, other = ask(words=0), ask(words=2)
    batch = [one, one, one, other, other, other]
    inputs, afresh = resumed(backend, batch), backend.encode(batch)
    torch.testing.assert_close(
        logits(backend, inputs), logits(backend, afresh), atol=1e-4, rtol=1e-4
    )


def test_requests_that_are_alike_are_read_once(small: TransformersBackend) -> None:
    asked, same_text = ask(words=1), ask(words=1)
    length = small.encode([asked])["input_ids"].shape[1]
    assert known(resumed(small, [asked] * 4)) == length - 1
    assert known(resumed(small, [asked, asked, same_text])) == 0  # too few to be worth a pass
    both = [asked] * 2 + [same_text] * 2
    inputs = resumed(small, both)
    assert known(inputs) == length - 1
    first, *_, last = inputs["past_key_values"].layers[0].keys
    assert not torch.equal(first, last)  # other pages


def test_only_what_both_say_is_taken_over(small: TransformersBackend) -> None:
    crop = noise(112, 112)
    for _ in range(
        20
    ):  # until a reply reads back, at its beginning, as the tokens it was written in
        asked = ask()
        (reply,) = small.generate([asked])
        same = known(resumed(small, [go_on(asked, reply.text, crop)])) if reply.text else 0
        if same > reply.prompt_tokens:
            break
    small.generate([asked])
    other = known(resumed(small, [go_on(asked, "Something else. " + reply.text, crop)]))
    assert 0 < other < same
    equal = (Message("user", asked[0].parts),)  # says the same, but is another conversation
    small.generate([asked])
    assert known(resumed(small, [go_on(equal, reply.text, crop)])) == 0


def test_a_conversation_is_forgotten_when_it_is_over(small: TransformersBackend) -> None:
    asked = [ask() for _ in range(3)]
    small.generate(asked)
    assert len(small._prefixes._kept) == 3
    del asked[0]
    gc.collect()
    assert len(small._prefixes._kept) == 2


def test_the_oldest_makes_room(small: TransformersBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [ask(words=1) for _ in range(3)]  # Of one length, so they are generated in this order.
    small.generate(asked)
    size = max(one.size for one in small._prefixes._kept.values())
    monkeypatch.setattr(prefix_cache, "_BYTES_ON_CPU", 2 * size)
    roomless = TransformersBackend(small.settings)
    roomless.generate(asked)
    assert list(roomless._prefixes._kept) == [id(request[-1]) for request in asked[1:]]


def test_out_of_memory_gives_back_what_was_kept(
    small: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [ask() for _ in range(2)]
    small.generate(asked)
    held = []
    run = TransformersBackend.run

    def scarce(inputs: dict[str, Any]) -> Any:
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        held.append(len(small._prefixes._kept))
        return run(small, inputs)

    monkeypatch.setattr(small, "run", scarce)
    assert not any(reply.error for reply in small.generate([ask(), ask()]))
    assert held[0] == 0
