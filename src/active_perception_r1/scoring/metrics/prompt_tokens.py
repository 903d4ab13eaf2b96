"""Tokens read."""

from __future__ import annotations

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._cost import known, of_turns
from active_perception_r1.scoring.metrics._metric import Metric, of_each


def _value(turns: tuple[Turn, ...]) -> float | None:
    return known(sum(turn.prompt_tokens for turn in turns))


METRIC = Metric(
    "read in all turns: a later one reads its whole conversation anew, as servers bill it",
    "tokens",
    of_each(of_turns(_value)),
)
