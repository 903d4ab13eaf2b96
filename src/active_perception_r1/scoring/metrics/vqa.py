"""VQA accuracy, where enough people were asked."""

from active_perception_r1.scoring.metrics._metric import Judged, Metric, of_each
from active_perception_r1.tasks.vqa import ENOUGH, vqa_accuracy


def _vqa(judged: Judged) -> float | None:
    if judged.sample.options or len(judged.sample.answers) <= ENOUGH:
        return None
    return vqa_accuracy(judged.answer, judged.sample.answers)


METRIC = Metric(
    "VQA accuracy: a third for each other person who gave this answer, at most 1, as TextVQA counts"
    f" it; null where no more than {ENOUGH} answers are known, or there are options",
    "share",
    of_each(_vqa),
)
