"""Relaxed accuracy, as for questions about charts."""

from active_perception_r1.scoring.metrics._metric import Metric, of_free_answers
from active_perception_r1.tasks.relaxed import relaxed_match

METRIC = Metric(
    "1 if the answer is a number within 5 % of an accepted one, or an exact match; null where there"
    " are options",
    "share",
    of_free_answers(relaxed_match),
)
