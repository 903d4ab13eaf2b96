"""Pixels of the crops that were shown."""

from __future__ import annotations

from active_perception_r1.scoring.metrics._metric import Judged, Metric, of_each


def _value(judged: Judged) -> float | None:
    if judged.episode.tool_status.is_failure:
        return None
    return float(sum(width * height for width, height in judged.episode.crop_sizes))


METRIC = Metric(
    "of all crops that the model was shown, as it was sent them",
    "pixels",
    of_each(_value),
)
