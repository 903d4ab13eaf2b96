"""Tokens of text."""

from __future__ import annotations

from active_perception_r1.records import Turn
from active_perception_r1.scoring.metrics._cost import of_turns
from active_perception_r1.scoring.metrics._metric import Metric, of_each


def _value(turns: tuple[Turn, ...]) -> float | None:
    last = turns[-1]
    if last.visual_tokens is None or not last.prompt_tokens:
        return None
    # An estimate of the images' may exceed what the server has counted of all.
    return max(0, last.prompt_tokens - last.visual_tokens) + last.completion_tokens


METRIC = Metric(
    "of the conversation and of the last reply without those of images, each counted once; null"
    " where the engine could not tell",
    "tokens",
    of_each(of_turns(_value)),
)
