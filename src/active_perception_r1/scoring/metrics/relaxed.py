"""Relaxed accuracy, as for questions about charts."""

from active_perception_r1.scoring.answer_metrics import relaxed_match
from active_perception_r1.scoring.metrics._metric import Metric, of_each

METRIC = Metric(
    "1 if the answer is a number within 5 % of an accepted one, or an exact match",
    "share",
    of_each(lambda episode: float(relaxed_match(episode.answer, episode.sample.answers))),
)
