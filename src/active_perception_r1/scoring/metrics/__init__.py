"""What is measured of every episode besides the task's score and the reward: one file a metric.

A new file is a column of the tables of scores, and a mean with its interval in the leaderboard.
"""

from active_perception_r1.registry import Registry
from active_perception_r1.scoring.metrics._metric import Judged, Metric, of_each

METRICS: Registry[Metric] = Registry(__name__, "METRIC")

__all__ = ["METRICS", "Judged", "Metric", "of_each"]
