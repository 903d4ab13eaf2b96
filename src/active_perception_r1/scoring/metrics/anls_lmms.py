"""ANLS as lmms-eval and VLMEvalKit compute it."""

from active_perception_r1.scoring.metrics._metric import Metric, of_free_answers
from active_perception_r1.tasks.anls import anls_lmms

METRIC = Metric(
    "ANLS as lmms-eval computes it: 0.5 is kept, and padding with spaces raises it; null where"
    " there are options",
    "share",
    of_free_answers(anls_lmms),
)
