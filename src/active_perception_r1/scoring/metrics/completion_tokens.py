"""Tokens written."""

from __future__ import annotations

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._cost import known, of_turns
from active_perception_r1.scoring.metrics._metric import Metric, of_each


def _value(turns: tuple[Turn, ...]) -> float | None:
    return known(sum(turn.completion_tokens for turn in turns))


METRIC = Metric(
    "written in all turns",
    "tokens",
    of_each(of_turns(_value)),
)
