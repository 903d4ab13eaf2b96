"""Rewarded episodes of a training step, and what each is worth beside the others of its group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.training.rollout import Rollouts


@dataclass(frozen=True, slots=True)
class Played:
    """Rewarded episodes of a step, those of a question one after the other.

    Attributes:
        samples: the question of each episode.
        advantages: (questions, episodes of each).
    """

    rollouts: Rollouts
    samples: tuple[Sample, ...]
    rewards: tuple[Reward, ...]
    advantages: torch.Tensor

    def lines(self, step: int) -> Iterator[dict[str, Any]]:
        """What is kept of each episode, its crops as the boxes that they show of the page."""
        size = self.advantages.shape[1]
        advantages = self.advantages.flatten().tolist()
        for number, episode in enumerate(self.rollouts.episodes):
            yield {
                "step": step,
                "group": number // size,
                "advantage": advantages[number],
                "reward": asdict(self.rewards[number]),
                "episode": json.loads(episode.to_json()),
            }

    @property
    def flat(self) -> frozenset[int]:
        """Episodes of groups that all have one reward, from which nothing is learned."""
        size = self.advantages.shape[1]
        groups = (self.advantages == 0).all(1).nonzero()[:, 0].tolist()
        return frozenset(group * size + place for group in groups for place in range(size))

    @property
    def told(self) -> Played:
        """Without what is learned from only: the tokens and the pages."""
        episodes = Rollouts(self.rollouts.episodes, ())
        samples = tuple(replace(sample, image=b"") for sample in self.samples)
        return Played(episodes, samples, self.rewards, self.advantages)

    def followed_by(self, later: Played) -> Played:
        """Both together."""
        return Played(
            self.rollouts.followed_by(later.rollouts),
            self.samples + later.samples,
            self.rewards + later.rewards,
            torch.cat([self.advantages, later.advantages]),
        )


def group_advantages(scores: torch.Tensor) -> torch.Tensor:
    """(groups, episodes) rewards to advantages of mean 0 and (nearly) unit deviation per group.

    A group with one reward throughout gets exact zeros.
    """
    centred = scores - scores.mean(1, keepdim=True)
    deviation = scores.std(1, keepdim=True)
    return torch.where(deviation > 1e-6, centred / (deviation + 1e-4), torch.zeros_like(centred))
