"""The page that shuffled crops are cut from: that of another sample."""

from __future__ import annotations

from collections.abc import Iterator

from active_perception_r1.errors import DataError
from active_perception_r1.records import Sample


def with_distractors(samples: Iterator[Sample]) -> Iterator[tuple[Sample, Sample]]:
    """Pair every sample with the next one that is on another page; the last ones with the first.

    Raises:
        DataError: all samples are on one page.
    """
    waiting: list[Sample] = []
    first_of_pages: list[Sample] = []
    for sample in samples:
        if waiting and waiting[0].doc_id != sample.doc_id:
            yield from ((earlier, sample) for earlier in waiting)
            waiting = []
        waiting.append(sample)
        if len(first_of_pages) < 2 and all(s.doc_id != sample.doc_id for s in first_of_pages):
            first_of_pages.append(sample)
    for sample in waiting:
        distractor = next((s for s in first_of_pages if s.doc_id != sample.doc_id), None)
        if distractor is None:
            raise DataError("shuffled_crop needs samples on at least two pages")
        yield sample, distractor
