"""What a metric is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from active_perception_r1.errors import DataError
from active_perception_r1.records import Episode, Sample
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.tasks import Judgement
from active_perception_r1.tasks.multiple_choice import right_letters

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


def of_free_answers(
    value: Callable[[str | None, Sequence[str]], float],
) -> Callable[[Sequence[Judged]], Values]:
    """For a metric of an answer and those accepted, which says nothing of a letter."""

    def of_one(judged: Judged) -> float | None:
        sample = judged.sample
        return None if sample.options else float(value(judged.answer, sample.answers))

    return of_each(of_one)


def of_choices(
    read: Callable[[str, Sequence[str]], str | None],
) -> Callable[[Sequence[Judged]], Values]:
    """For a metric that reads the letter of an option, and asks whether that one is right.

    There is none where what is accepted is no option.
    """

    def of_one(judged: Judged) -> float | None:
        sample = judged.sample
        try:
            right = right_letters(sample.answers, sample.options)
        except DataError:
            return None
        return float(judged.answer is not None and read(judged.answer, sample.options) in right)

    return of_each(of_one)
