"""Pages that this package draws: see `data.synthetic`."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.sources._reader import Source, unknown_split
from active_perception_r1.data.synthetic import LAYOUTS, render_page
from active_perception_r1.storage.rows import Row


def open_split(dataset: SyntheticDataset, split: str) -> Source:
    """One split.

    Raises:
        DataError: there is no such split.
    """
    if split not in dataset.questions:
        raise unknown_split(dataset.name, split, dataset.questions)
    total = dataset.questions[split]

    def rows(start: int) -> Iterator[Row]:
        return (_row(dataset.seed, split, index) for index in range(start, total))

    return Source(rows, total, f"seed {dataset.seed}")


def _row(seed: int, split: str, index: int) -> Row:
    """One question about a page of its own; the split is part of the seed, so none share a page."""
    rng = random.Random(f"{seed}/{split}/{index}")
    page = render_page(rng, LAYOUTS[index % len(LAYOUTS)])
    question = rng.choice(page.questions)
    encoded = io.BytesIO()
    page.image.save(encoded, "PNG", compress_level=1)  # the fastest to write, and to read again
    name = f"{split}-{index:06d}"
    return {
        "id": name,
        "image": encoded.getvalue(),
        "query": {"en": question.text},
        "answers": [question.answer],
        "words": [word.text for word in page.words],
        "bounding_boxes": [word.box.as_tuple() for word in page.words],
        "answer": {
            "match_score": 1.0,
            "matched_text": question.answer,
            "start": question.word_index,
            "text": question.answer,
        },
        "doc_id": name,
        "layout": page.layout,
        "requires_zoom": True,
        "exact_span": True,
    }
