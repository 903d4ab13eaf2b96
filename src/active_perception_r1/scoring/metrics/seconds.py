"""Time of replies. A measurement: it differs from run to run, and no two are compared by it."""

from __future__ import annotations

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._cost import of_turns
from active_perception_r1.scoring.metrics._metric import Metric, of_each


def _value(turns: tuple[Turn, ...]) -> float | None:
    return sum(turn.seconds for turn in turns)


METRIC = Metric(
    "that the replies took, a batch shared out evenly; measured, so it differs from run to run",
    "seconds",
    of_each(of_turns(_value)),
)
