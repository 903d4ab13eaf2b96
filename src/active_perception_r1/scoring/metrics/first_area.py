"""How closely a model looks at once."""

from active_perception_r1.scoring.metrics._metric import Judged, Metric, of_each


def _first_area(judged: Judged) -> float | None:
    shown = [step.executed.area for step in judged.episode.shown_crops if step.executed]
    return shown[0] if shown else None


METRIC = Metric(
    "area of the first crop that the model saw; null if it saw none",
    "share of the page",
    of_each(_first_area),
    needs_tool=True,
)
