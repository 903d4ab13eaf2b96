"""ANLS as it was published."""

from collections.abc import Sequence

from active_perception_r1.scoring.answer_metrics import anls_batch
from active_perception_r1.scoring.metrics._metric import Judged, Metric, Values


def _anls(episodes: Sequence[Judged]) -> Values:
    answers = [episode.sample.answers for episode in episodes]
    scores = anls_batch([episode.answer for episode in episodes], answers).paper
    return [float(score) for score in scores]


METRIC = Metric(
    "similarity to the nearest accepted answer (ANLS, Biten et al. 2019); 0.5 and less is 0",
    "share",
    _anls,
    compared=True,
)
