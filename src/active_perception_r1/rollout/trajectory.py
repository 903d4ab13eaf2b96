"""One episode as one sequence of tokens: what a trainer that keeps a running sequence needs.

    prompt                    response
    question and first view | reply | crop and observation | reply | ...
    mask:                     1 1 1   0 0 0 0 0 0 0 0 0 0 0   1 1 1

Pure: whatever tokenises and generates is behind `Dialogue`, so that this is tested without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Reply, Request


@dataclass(frozen=True, slots=True)
class Tokens:
    """A sequence in progress.

    Attributes:
        ids: prompt and response.
        mask: for each token of the response, 1 where the policy wrote it, 0 elsewhere.
        log_probs: for each token of the response, under the policy that sampled; 0 where it was
            not sampled; empty if the engine gives none.
    """

    ids: list[int]
    mask: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)

    def with_reply(self, completion: Completion) -> Tokens:
        """The sequence with what the policy wrote at its end."""
        return self._with(completion.ids, 1, completion.log_probs or [])

    def with_observation(self, ids: Sequence[int]) -> Tokens:
        """The sequence with what the policy is shown at its end."""
        return self._with(ids, 0, [0.0] * len(ids) if self.log_probs else [])

    def _with(self, ids: Sequence[int], mark: int, log_probs: Sequence[float]) -> Tokens:
        return Tokens(
            [*self.ids, *ids], [*self.mask, *[mark] * len(ids)], [*self.log_probs, *log_probs]
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """One reply as the engine gives it; `extra` is what the trainer wants to know of it."""

    ids: list[int]
    log_probs: list[float] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Dialogue(Protocol):
    """The engine's side: a tokeniser that only ever appends, and the policy.

    Attributes:
        ends: tokens that end a reply.
    """

    ends: frozenset[int]

    async def open(self, request: Request) -> list[int]:
        """The prompt, with the opening of the policy's first reply."""

    async def generate(
        self, ids: list[int], images: Sequence[Image.Image], max_tokens: int
    ) -> Completion:
        """The policy's reply to `ids`, whose image spans are `images`, in order."""

    async def observe(self, before: Request, after: Request, end: int) -> list[int]:
        """What `after` has beyond `before` and the reply to it, whose last token was `end`."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text without control tokens."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens: of one reply, and of the whole response with everything that is shown in it."""

    reply: int
    response: int


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A finished episode and its tokens.

    Attributes:
        images: those that the sequence has spans for, in order.
        over_long: the response budget ended it, not the policy; then the mask is all 0, so that it
            is neither punished nor imitated.
        extra: of the last completion; `min_global_steps` of the first.
    """

    episode: Episode
    prompt: list[int]
    response: list[int]
    mask: list[int]
    log_probs: list[float]
    images: tuple[Image.Image, ...]
    over_long: bool
    extra: Mapping[str, Any]


async def run_dialogue(
    episode: LiveEpisode, dialogue: Dialogue, budget: Budget, model: str, revision: str
) -> Trajectory:
    """Run an episode to its end, or to that of its budget.

    An observation that would leave no token to answer with is not begun, so that no image span is
    ever cut, and its crops do not count: the policy has not seen them.
    """
    request = episode.request
    tokens = Tokens(await dialogue.open(request))
    prompt = len(tokens.ids)
    extra: dict[str, Any] = {}
    over_long = False
    while not episode.finished:
        room = budget.response - len(tokens.mask)
        completion = await dialogue.generate(tokens.ids, _images(request), min(budget.reply, room))
        extra = {**completion.extra, **_first_steps(extra)}
        asked_with = len(tokens.ids)
        tokens = tokens.with_reply(completion)
        ended = bool(completion.ids) and completion.ids[-1] in dialogue.ends
        over_long = not ended and room < budget.reply
        episode.receive(
            Reply(
                text=dialogue.decode(completion.ids),
                finish_reason=FinishReason.STOP if ended else FinishReason.LENGTH,
                prompt_tokens=asked_with,
                completion_tokens=len(completion.ids),
            )
        )
        if episode.finished:
            break
        shown = await dialogue.observe(request, episode.request, tokens.ids[-1])
        if len(tokens.mask) + len(shown) >= budget.response:
            over_long = True
            episode.abandon(ToolStatus.TRUNCATED)
            break
        tokens, request = tokens.with_observation(shown), episode.request
    return Trajectory(
        episode=episode.record(model, revision, seed=0),
        prompt=tokens.ids[:prompt],
        response=tokens.ids[prompt:],
        mask=[0] * len(tokens.mask) if over_long else tokens.mask,
        log_probs=tokens.log_probs,
        images=_images(request),
        over_long=over_long,
        extra=extra,
    )


def _images(request: Request) -> tuple[Image.Image, ...]:
    return tuple(image for message in request for image in message.images)


def _first_steps(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in extra.items() if key == "min_global_steps"}
