"""Questions that are asked with their options in several orders: right in all of them."""

from collections import defaultdict
from collections.abc import Sequence

from active_perception_r1.scoring.metrics._metric import Judged, Metric, Values


def _circular(episodes: Sequence[Judged]) -> Values:
    orders: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, judged in enumerate(episodes):
        if judged.sample.options:
            orders[judged.sample.doc_id, judged.sample.question].append(place)
    values: list[float | None] = [None] * len(episodes)
    for places in orders.values():
        if len(places) > 1:
            right = all(episodes[place].judgement.correct for place in places)
            values[places[0]] = float(right)
    return values


METRIC = Metric(
    "of a question asked with its options in several orders, as in HR-Bench: 1 if all of them are"
    " right, said once, in the first; else null",
    "share",
    _circular,
    compared=True,
)
