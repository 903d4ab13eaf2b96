"""Episodes for training: run like any other, with the tokens of the policy kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from active_perception_r1.models.backends.transformers import (
    Generated,
    TransformersBackend,
    images_of,
)
from active_perception_r1.models.image_cache import Inputs
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.runtime.memory import out_of_memory
from active_perception_r1.sim.driver import Batches, run_episodes
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import Reply
from active_perception_r1.tasks import DEFAULT_TASK


@dataclass(frozen=True, slots=True)
class Sequences:
    """Right-padded token sequences, each a prompt and what the policy wrote after it.

    Attributes:
        tokens, used: (rows, length) ids, and true where they are not padding.
        policy: (rows, length) true on tokens that the policy wrote, and on no others.
        marks: by the name of a model input, (rows, length) what else it is told of every token.
        images: for each row, those that its tokens stand for, in order.
        episodes: for each row, the index of its episode among the step's.
    """

    tokens: torch.Tensor
    used: torch.Tensor
    policy: torch.Tensor
    marks: Mapping[str, torch.Tensor]
    images: tuple[tuple[Image.Image, ...], ...]
    episodes: tuple[int, ...]

    def rows(self, chosen: Sequence[int]) -> Sequences:
        """These rows, in this order, without the padding that only the others needed."""
        index = torch.tensor(chosen, device=self.tokens.device)
        length = int(self.used[index].sum(1).max())
        return Sequences(
            self.tokens[index, :length],
            self.used[index, :length],
            self.policy[index, :length],
            {name: values[index, :length] for name, values in self.marks.items()},
            tuple(self.images[row] for row in chosen),
            tuple(self.episodes[row] for row in chosen),
        )

    def parts(self, size: int) -> Iterator[Sequences]:
        """All rows, at most `size` at a time."""
        total = len(self.episodes)
        if total <= size:
            yield self
            return
        for first in range(0, total, size):
            yield self.rows(range(first, min(first + size, total)))

    def inputs(self, show: Callable[[Sequence[Sequence[Image.Image]]], Inputs]) -> Inputs:
        """What a model is given of them.

        Args:
            show: what it is given of images; see `TransformersBackend.show`.
        """
        return {
            "input_ids": self.tokens,
            "attention_mask": self.used.long(),
            **self.marks,
            **show(self.images),
        }


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Finished episodes of a training step, and every token that the policy wrote in them, once."""

    episodes: tuple[Episode, ...]
    batches: tuple[Sequences, ...]

    @property
    def tokens(self) -> int:
        """How many the policy wrote."""
        return sum(int(batch.policy.sum()) for batch in self.batches)

    def without(self, episodes: Collection[int]) -> Rollouts:
        """The same ones, with nothing to learn from some of them."""
        kept = [
            (batch, [row for row, episode in enumerate(batch.episodes) if episode not in episodes])
            for batch in self.batches
        ]
        return Rollouts(self.episodes, tuple(batch.rows(rows) for batch, rows in kept if rows))

    def followed_by(self, later: Rollouts) -> Rollouts:
        """Both, the episodes of `later` counted on from these."""
        first = len(self.episodes)
        moved = (
            replace(batch, episodes=tuple(first + episode for episode in batch.episodes))
            for batch in later.batches
        )
        return Rollouts(self.episodes + later.episodes, (*self.batches, *moved))


def roll_out(
    policy: TransformersBackend,
    samples: Sequence[Sample],
    modes: str | Sequence[str],
    seed: int,
    task: str = DEFAULT_TASK,
) -> Rollouts:
    """Run one episode for each of `samples` (repeats are separate episodes).

    Args:
        modes: that of all episodes, or of each.

    Raises:
        Whatever the model raises: an episode that ended in an engine error teaches nothing.
    """
    torch.manual_seed(seed)
    each = [modes] * len(samples) if isinstance(modes, str) else modes
    rules = {mode: episode_rules(mode, policy.settings, task) for mode in set(each)}
    live = [start_episode(sample, rules[mode]) for sample, mode in zip(samples, each, strict=True)]
    index = {id(episode): number for number, episode in enumerate(live)}
    batches: list[Sequences] = []

    size = policy.settings.batch_size

    def generate(episodes: Sequence[LiveEpisode]) -> list[Reply]:
        nonlocal size
        replies: list[Reply] = []
        while len(replies) < len(episodes):
            batch = episodes[len(replies) : len(replies) + size]
            requests = [episode.request for episode in batch]
            start = time.perf_counter()
            try:
                generated = policy.go_on(requests)
            except Exception as error:
                if len(batch) == 1 or not out_of_memory(error):
                    raise
                policy.forget()
                size = len(batch) // 2
                continue
            replies += policy.decode(generated, time.perf_counter() - start)
            numbers = tuple(index[id(episode)] for episode in batch)
            batches.append(_sequences(generated, images_of(requests), numbers))
        return replies

    for _ in run_episodes(live, Batches(generate), live=len(live)):
        pass
    policy.forget()  # the weights are about to change
    records = (episode.record(policy.settings.id, policy.revision, seed) for episode in live)
    return Rollouts(tuple(records), merge_turns(batches))


def merge_turns(batches: Sequence[Sequences]) -> tuple[Sequences, ...]:
    """Turns of one episode in one row, wherever a later prompt begins with an earlier turn.

    A later turn is sampled after a prompt that holds the earlier ones. If its tokens are the same
    (writing and reading back a reply may tokenise it otherwise), its row can be trained for all of
    them at once; if they are not, the earlier turn keeps its own row.
    """
    merged: list[Sequences] = []
    later: dict[int, tuple[int, int]] = {}  # episode to (batch, row) of its latest merged turn
    for batch in reversed(batches):
        keep: list[int] = []
        for row, episode in enumerate(batch.episodes):
            if episode in later:
                number, other = later[episode]
                length = int(batch.used[row].sum())
                host = merged[number]
                if torch.equal(host.tokens[other, :length], batch.tokens[row, :length]):
                    host.policy[other, :length] |= batch.policy[row, :length]
                    continue
            later[episode] = (len(merged), len(keep))
            keep.append(row)
        if keep:
            merged.append(batch.rows(keep))
    return tuple(merged)


def _sequences(
    generated: Generated, images: Sequence[Sequence[Image.Image]], episodes: tuple[int, ...]
) -> Sequences:
    """Left-padded prompts and right-padded completions as right-padded sequences.

    Right padding lets every architecture count positions from its own default.
    """
    inputs, completions = generated.inputs, generated.completions
    prompts, prompt_used = inputs["input_ids"], inputs["attention_mask"].bool()
    written = torch.arange(completions.shape[1], device=completions.device)
    written = written < generated.lengths[:, None]
    tokens = torch.cat([prompts, completions], 1)
    used = torch.cat([prompt_used, written], 1)
    policy = torch.cat([torch.zeros_like(prompt_used), written], 1)
    marks = {
        name: torch.cat([values, values.new_zeros(completions.shape)], 1)  # a text's are 0
        for name, values in inputs.items()
        if name not in ("input_ids", "attention_mask")
        and isinstance(values, torch.Tensor)
        and values.shape == prompts.shape
    }
    # A stable sort by "unused" moves the used tokens to the front and keeps their order.
    order = (~used).int().argsort(dim=1, stable=True)[:, : int(used.sum(1).max())]
    return Sequences(
        tokens.gather(1, order),
        used.gather(1, order),
        policy.gather(1, order),
        {name: values.gather(1, order) for name, values in marks.items()},
        tuple(tuple(shown) for shown in images),
        episodes,
    )
