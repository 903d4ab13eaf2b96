"""Exact match, whatever the task."""

from active_perception_r1.scoring.metrics._metric import Metric, of_each
from active_perception_r1.tasks.short_answer import exact_match

METRIC = Metric(
    "1 if the answer equals an accepted one after normalisation",
    "share",
    of_each(lambda episode: float(exact_match(episode.answer, episode.sample.answers))),
)
