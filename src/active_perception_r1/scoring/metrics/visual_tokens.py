"""Tokens of images."""

from __future__ import annotations

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._cost import of_turns
from active_perception_r1.scoring.metrics._metric import Metric, of_each


def _value(turns: tuple[Turn, ...]) -> float | None:
    # The last prompt holds every image that was shown.
    return turns[-1].visual_tokens


METRIC = Metric(
    "of the images in the conversation, each counted once; null where the engine could not tell",
    "tokens",
    of_each(of_turns(_value)),
)
