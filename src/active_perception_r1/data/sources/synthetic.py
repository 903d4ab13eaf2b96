"""Pages that this package draws: see `data.synthetic`."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.evidence import GivenSpan
from active_perception_r1.data.formats import Split
from active_perception_r1.data.questions import Question
from active_perception_r1.data.sources._reader import Reader, unknown_split
from active_perception_r1.data.synthetic import LAYOUTS, TOTAL, render_page


class SyntheticReader(Reader[SyntheticDataset]):
    """Draws a page when it is asked for."""

    def splits(self, dataset: SyntheticDataset) -> list[str]:
        return list(dataset.questions)

    def open(self, dataset: SyntheticDataset, split: str) -> Split:
        if split not in dataset.questions:
            raise unknown_split(dataset.name, split, dataset.questions)
        total = dataset.questions[split]

        def questions(start: int) -> Iterator[Question]:
            return (_question(dataset.seed, split, index) for index in range(start, total))

        return Split(questions, total, f"seed {dataset.seed}", box_unit="unit")


def _question(seed: int, split: str, index: int) -> Question:
    """One about a page of its own; the split is part of the seed, so none share a page.

    Of eight questions on a layout, two are about a total in large print, one about a total in
    small print, and five about other values; beside three of these the total is in large print.
    So neither the words of a question nor large print in sight tell whether the answer is legible.
    """
    rng = random.Random(f"{seed}/{split}/{index}")
    turn, layout = divmod(index, len(LAYOUTS))
    about_total = turn % 8 in (0, 2, 4)
    page = render_page(rng, LAYOUTS[layout], large_print=turn % 8 in (0, 1, 3, 4, 5))
    asked = rng.choice([q for q in page.questions if (TOTAL in q.text) == about_total])
    encoded = io.BytesIO()
    page.image.save(encoded, "PNG", compress_level=1)  # the fastest to write, and to read again
    name = f"{split}-{index:06d}"
    return Question(
        id=name,
        question=asked.text,
        image=encoded.getvalue(),
        answers=(asked.answer,),
        doc_id=name,
        layout=page.layout,
        words=tuple(word.text for word in page.words),
        word_boxes=tuple(word.box.as_tuple() for word in page.words),
        span=GivenSpan(asked.word_index, asked.answer, exact=True),
        requires_zoom=not asked.large_print,
    )


READER = SyntheticReader()
