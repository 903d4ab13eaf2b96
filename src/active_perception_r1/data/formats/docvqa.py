"""The layout of `nielsr/docvqa_1200_examples`, with optional columns.

`doc_id` tells which page a row shows, `layout` what kind of page it is, `requires_zoom` whether the
answer can be read only by zooming, and `exact_span` that `answer` is where the answer really
stands and not merely where its text was found first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data import values
from active_perception_r1.data.evidence import GivenSpan
from active_perception_r1.data.formats._format import Table
from active_perception_r1.data.formats._table import Reading, TableFormat
from active_perception_r1.data.questions import Question
from active_perception_r1.errors import DataError
from active_perception_r1.storage.rows import Row

REQUIRED = ("id", "image", "query", "answers", "words", "bounding_boxes", "answer")
OPTIONAL = ("doc_id", "layout", "requires_zoom")


class DocVqa(TableFormat):
    """A question with the words of its page, and where among them the answer was found."""

    columns: ClassVar[Columns] = Columns(
        id="id",
        image="image",
        question="query.en",
        answers="answers",
        words="words",
        bounding_boxes="bounding_boxes",
    )
    also: ClassVar[tuple[str, ...]] = ("answer",)
    may_have: ClassVar[tuple[str, ...]] = ("exact_span",)

    def found_columns(self, given: Columns, table: Table) -> Columns:
        if missing := [name for name in REQUIRED if name not in table.columns]:
            raise DataError(
                f"{table.name}: column {', '.join(missing)} missing; this layout needs the columns"
                f" {', '.join(REQUIRED)} (found: {', '.join(table.columns)}); if others hold the"
                " same, say which by `columns: {question: NAME, ...}`"
            )
        there = {name: name for name in OPTIONAL if name in table.columns}
        said = given.model_dump(exclude_none=True)
        return super().found_columns(Columns(**(there | said)), table)

    def question(self, row: Row, reading: Reading) -> Question:
        question = super().question(row, reading)
        if not question.question.strip():
            raise ValueError("it has no question in English")
        return replace(question, span=values.named("answer", _span, row.get("answer"), row))


def _span(value: Any, row: Row) -> GivenSpan | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("not a struct with start and matched_text")
    start, text = value.get("start"), values.text(value.get("matched_text"))
    if start is None or not text:
        return None
    if not isinstance(start, int):
        raise ValueError(f"start is {start!r}, and not the index of a word")
    return GivenSpan(start, text, exact=bool(values.truth(row.get("exact_span"))))


FORMAT = DocVqa()
