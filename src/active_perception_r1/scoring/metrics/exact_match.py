"""Exact match, whatever the task."""

from active_perception_r1.scoring.metrics._metric import Metric, of_free_answers
from active_perception_r1.tasks.short_answer import exact_match

METRIC = Metric(
    "1 if the answer equals an accepted one after normalisation; null where there are options",
    "share",
    of_free_answers(exact_match),
)
