"""How closely a model looks in the end."""

from active_perception_r1.scoring.metrics._metric import Judged, Metric, of_each


def _smallest_area(judged: Judged) -> float | None:
    shown = (step.executed.area for step in judged.episode.shown_crops if step.executed)
    return min(shown, default=None)


METRIC = Metric(
    "area of the smallest crop that the model saw; null if it saw none",
    "share of the page",
    of_each(_smallest_area),
    needs_tool=True,
)
