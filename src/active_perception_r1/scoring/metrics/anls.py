"""ANLS as it was published."""

from active_perception_r1.scoring.metrics._metric import Metric, of_free_answers
from active_perception_r1.tasks.anls import anls

METRIC = Metric(
    "similarity to the nearest accepted answer (ANLS, Biten et al. 2019); 0.5 and less is 0; null"
    " where there are options",
    "share",
    of_free_answers(anls),
    compared=True,
)
