"""The episode as one token sequence, token by token, with a scripted engine."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from PIL import Image

from active_perception_r1.records import ToolStatus
from active_perception_r1.rollout.trajectory import (
    Budget,
    Completion,
    Trajectory,
    run_dialogue,
)
from active_perception_r1.sim.messages import Message, Request
from tests.scripted import AWAY, ZOOM, start

END, IMAGE, USER, ASSISTANT = 0, 1, 2, 3
SPAN = 4  # tokens of an image
AMPLE = Budget(reply=100, response=400)


class ScriptedDialogue:
    """One token per character; an image is `SPAN` image tokens; logs what it was asked for."""

    ends = frozenset({END})

    def __init__(self, *replies: str) -> None:
        self._replies = iter(replies)
        self.asked: list[tuple[list[int], tuple[Image.Image, ...], int]] = []

    async def open(self, request: Request) -> list[int]:
        return [t for message in request for t in rendered(message)] + [ASSISTANT]

    async def generate(
        self, ids: list[int], images: Sequence[Image.Image], max_tokens: int
    ) -> Completion:
        self.asked.append((list(ids), tuple(images), max_tokens))
        written = [*map(ord, next(self._replies)), END][:max_tokens]
        steps = {"min_global_steps": len(self.asked), "max_global_steps": len(self.asked)}
        return Completion(written, [-0.5] * len(written), steps)

    async def observe(self, before: Request, after: Request, end: int) -> list[int]:
        reply, *shown = after[len(before) :]
        assert reply.role == "assistant"
        return [t for message in shown for t in rendered(message)] + [ASSISTANT]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(token) for token in ids if token != END)


def rendered(message: Message) -> list[int]:
    texts = [
        list(map(ord, part)) if isinstance(part, str) else [IMAGE] * SPAN for part in message.parts
    ]
    return [USER, *(token for text in texts for token in text)]


def run(dialogue: ScriptedDialogue, budget: Budget = AMPLE) -> Trajectory:
    return asyncio.run(run_dialogue(start(), dialogue, budget, "scripted", "r0"))


def images_in(ids: Sequence[int]) -> int:
    assert ids.count(IMAGE) % SPAN == 0
    return ids.count(IMAGE) // SPAN


def observation(images: int) -> int:
    """Tokens of what is shown after a zoom, the opening of the next reply included."""
    found = run(ScriptedDialogue(ZOOM, "<answer>42</answer>"))
    return found.mask.count(0) - (1 - images) * SPAN


def test_what_the_policy_wrote_is_marked_and_nothing_else() -> None:
    found = run(ScriptedDialogue(ZOOM, "<answer>42</answer>"))
    written = [token for token, mark in zip(found.response, found.mask, strict=True) if mark]
    assert ScriptedDialogue().decode(written) == ZOOM + "<answer>42</answer>"
    assert written.count(END) == 2
    assert len(found.log_probs) == len(found.response)
    assert {p for p, mark in zip(found.log_probs, found.mask, strict=True) if mark} == {-0.5}
    assert found.episode.answer == "42"


def test_a_crop_is_put_in_front_of_the_policy_and_counts_once_it_was_answered() -> None:
    dialogue = ScriptedDialogue(ZOOM, "<answer>42</answer>")
    found = run(dialogue)
    (first_ids, first_images, _), (second_ids, second_images, _) = dialogue.asked
    assert (len(first_images), len(second_images)) == (1, 2)
    assert images_in(first_ids) == 1
    assert images_in(second_ids) == 2
    assert second_images == found.images
    assert found.images[1].size == found.episode.steps[0].crop_size
    assert found.episode.steps[0].shown


def test_every_prompt_begins_with_the_tokens_before_it() -> None:
    dialogue = ScriptedDialogue(ZOOM, AWAY, "<answer>42</answer>")
    found = run(dialogue)
    prompts = [ids for ids, _, _ in dialogue.asked]
    for shorter, longer in itertools.pairwise(prompts):
        assert longer[: len(shorter)] == shorter
    assert (found.prompt + found.response)[: len(prompts[-1])] == prompts[-1]


def test_an_observation_that_would_not_fit_is_not_begun_and_its_crop_does_not_count() -> None:
    reply = len(ZOOM) + 1
    tight = Budget(reply=100, response=reply + observation(images=1))
    dialogue = ScriptedDialogue(ZOOM, "<answer>42</answer>")
    found = run(dialogue, tight)
    assert len(dialogue.asked) == 1
    assert found.over_long
    assert images_in(found.prompt + found.response) == len(found.images) == 1
    assert not found.episode.steps[0].shown
    assert found.episode.tool_status is ToolStatus.TRUNCATED


def test_an_observation_that_leaves_one_token_is_begun() -> None:
    room = Budget(reply=100, response=len(ZOOM) + 1 + observation(images=1) + 1)
    dialogue = ScriptedDialogue(ZOOM, "<answer>42</answer>")
    found = run(dialogue, room)
    assert dialogue.asked[1][2] == 1
    assert len(found.response) == room.response
    assert images_in(found.prompt + found.response) == len(found.images) == 2


@pytest.mark.parametrize("response", range(1, 240, 7))
def test_no_budget_cuts_an_image_or_is_exceeded(response: int) -> None:
    replies = (ZOOM, AWAY, "<answer>42</answer>")
    found = run(ScriptedDialogue(*replies), Budget(reply=60, response=response))
    assert len(found.response) == len(found.mask) == len(found.log_probs) <= response
    assert images_in(found.prompt + found.response) == len(found.images)
    assert sum(step.shown for step in found.episode.steps) == len(found.images) - 1
    if found.over_long:
        assert not any(found.mask)


def test_a_rollout_that_its_budget_ended_is_masked_not_punished() -> None:
    found = run(ScriptedDialogue("<answer>42"), Budget(reply=100, response=5))
    assert found.over_long
    assert found.mask == [0] * 5


def test_a_reply_that_is_too_long_by_itself_is_the_policys_fault() -> None:
    found = run(ScriptedDialogue("<answer>42</answer>"), Budget(reply=5, response=400))
    assert not found.over_long
    assert found.mask == [1] * 5
    assert found.episode.tool_status is ToolStatus.TRUNCATED


def test_weights_are_those_of_the_first_reply_to_the_last() -> None:
    found = run(ScriptedDialogue(ZOOM, "<answer>42</answer>"))
    assert found.extra == {"min_global_steps": 1, "max_global_steps": 2}
