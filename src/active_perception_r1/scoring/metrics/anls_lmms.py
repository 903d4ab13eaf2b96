"""ANLS as lmms-eval and VLMEvalKit compute it."""

from collections.abc import Sequence

from active_perception_r1.scoring.answer_metrics import anls_batch
from active_perception_r1.scoring.metrics._metric import Judged, Metric, Values


def _anls_lmms(episodes: Sequence[Judged]) -> Values:
    answers = [episode.sample.answers for episode in episodes]
    scores = anls_batch([episode.answer for episode in episodes], answers).lmms
    return [float(score) for score in scores]


METRIC = Metric(
    "ANLS as lmms-eval computes it: 0.5 is kept, and padding with spaces raises it",
    "share",
    _anls_lmms,
)
