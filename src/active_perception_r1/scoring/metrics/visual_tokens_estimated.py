"""Whether tokens of images were counted."""

from __future__ import annotations

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._cost import of_turns
from active_perception_r1.scoring.metrics._metric import Metric, of_each


def _value(turns: tuple[Turn, ...]) -> float | None:
    last = turns[-1]
    return None if last.visual_tokens is None else float(last.visual_tokens_estimated)


METRIC = Metric(
    "1 if the visual tokens follow from the sizes of the images, 0 if they were counted; null"
    " where there are none",
    "share",
    of_each(of_turns(_value)),
)
