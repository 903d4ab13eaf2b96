"""How many different places were looked at."""

from active_perception_r1.scoring.metrics._metric import Judged, Metric, of_each


def _distinct(judged: Judged) -> float | None:
    if judged.episode.tool_status.is_failure:
        return None
    return sum(not step.redundant for step in judged.episode.shown_crops)


METRIC = Metric(
    "crops that the model saw and that repeat no earlier one; null after an error",
    "zoom calls",
    of_each(_distinct),
    needs_tool=True,
)
