"""Episodes for training: played like any other, with the tokens of the policy kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from active_perception_r1.models.transformers_backend import Inputs, TransformersBackend
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Episode, Mode, Sample
from active_perception_r1.sim.live_reinjection import LiveEpisode, run_episodes
from active_perception_r1.sim.messages import Reply


@dataclass(frozen=True, slots=True)
class TurnBatch:
    """What the policy wrote in one generation call.

    Attributes:
        inputs: model inputs with `input_ids` and `attention_mask` of (rows, length): prompt, then
            completion, then padding; images as the processor made them.
        policy_mask: (rows, length) true on the tokens that the policy wrote, and on no others.
        episodes: of each row, its index among the step's episodes.
    """

    inputs: Inputs
    policy_mask: torch.Tensor
    episodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Finished episodes of a training step, and every turn that they consist of."""

    episodes: tuple[Episode, ...]
    turns: tuple[TurnBatch, ...]


def roll_out(
    policy: TransformersBackend, samples: Sequence[Sample], mode: Mode, seed: int
) -> Rollouts:
    """Play one episode for each of `samples` (repeats are separate episodes)."""
    torch.manual_seed(seed)
    rules = episode_rules(mode, policy.settings)
    live = [start_episode(sample, mode, rules) for sample in samples]
    index = {id(episode): i for i, episode in enumerate(live)}
    turns: list[TurnBatch] = []

    def generate(episodes: Sequence[LiveEpisode]) -> list[Reply]:
        replies: list[Reply] = []
        size = policy.settings.batch_size
        for first in range(0, len(episodes), size):
            batch = episodes[first : first + size]
            start = time.perf_counter()
            generated = policy.run([episode.request for episode in batch])
            replies += policy.decode(generated, time.perf_counter() - start)
            inputs, mask = _sequences(generated.inputs, generated.completions, generated.lengths)
            turns.append(TurnBatch(inputs, mask, tuple(index[id(e)] for e in batch)))
        return replies

    for _ in run_episodes(live, generate, live=len(live)):
        pass
    records = (episode.record(policy.settings.id, "", seed) for episode in live)
    return Rollouts(tuple(records), tuple(turns))


def _sequences(
    inputs: Inputs, completions: torch.Tensor, lengths: torch.Tensor
) -> tuple[Inputs, torch.Tensor]:
    """Left-padded prompts and their completions as right-padded sequences, and the policy mask.

    Right padding lets every architecture count positions from its own default.
    """
    prompt_mask = inputs["attention_mask"].bool()
    written = torch.arange(completions.shape[1], device=lengths.device) < lengths[:, None]
    tokens = torch.cat([inputs["input_ids"], completions], 1)
    used = torch.cat([prompt_mask, written], 1)
    policy = torch.cat([torch.zeros_like(prompt_mask), written], 1)
    # A stable sort by "unused" moves the used tokens to the front and keeps their order.
    order = (~used).int().argsort(dim=1, stable=True)[:, : int(used.sum(1).max())]
    gathered = {
        **inputs,
        "input_ids": tokens.gather(1, order),
        "attention_mask": used.gather(1, order).long(),
    }
    return gathered, policy.gather(1, order)
