"""What a metric is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from active_perception_r1.records import Episode, Sample
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.tasks import Judgement

Values: TypeAlias = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """An episode, the sample it is about, and what task and reward say of it.

    Attributes:
        answer: the one that counts; None if there is none, as after an error that is not the
            model's, whatever text the episode left behind.
        reward: None after such an error.
    """

    sample: Sample
    episode: Episode
    answer: str | None
    judgement: Judgement
    reward: Reward | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A number for every episode, whose mean over the episodes that have one is reported.

    Attributes:
        description: what the number says of an episode, and when there is none.
        unit: see `columns.Column`.
        values: the numbers of many episodes at once, in their order; None where there is none.
        needs_tool: the mean says nothing of modes in which the model cannot zoom.
        compared: the leaderboard gives the difference to the baseline and to the model that
            training started from, too.
    """

    description: str
    unit: str
    values: Callable[[Sequence[Judged]], Values]
    needs_tool: bool = False
    compared: bool = False


def of_each(value: Callable[[Judged], float | None]) -> Callable[[Sequence[Judged]], Values]:
    """For a metric that looks at one episode after the other."""
    return lambda episodes: [value(episode) for episode in episodes]
