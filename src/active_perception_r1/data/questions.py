"""A split on disk: one question a row, whatever the layout of the dataset that it is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Self

import pyarrow as pa

from active_perception_r1.data.evidence import GivenSpan
from active_perception_r1.storage.rows import Row, read_rows


@dataclass(frozen=True, slots=True)
class Region:
    """Evidence as a dataset gives it.

    Attributes:
        label: regions with one label are alternatives, as in `records.Evidence`.
        box: x0, y0, x1, y1 in the unit of the dataset.
    """

    label: str
    box: tuple[float, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Question:
    """One question as it was read, its values of the right kind but not yet checked.

    Attributes:
        image: the encoded page.
        answers: accepted texts; where there are options, of right ones.
        doc_id: empty where equal images are one page.
        options: in the order in which they are offered.
        option_order: where each of them stood in the dataset; empty if they stand there so.
        cycle: names this order, where the dataset asks the question in several; else empty.
        words, word_boxes: of OCR, boxes in the unit of the dataset.
        span: where the dataset says that the answer stands among the words.
        evidence: where it says that it stands on the page, which counts before words and span.
        requires_zoom: None where the evidence decides.
        unusable: why the row cannot be used; empty if that is not known yet.
    """

    id: str
    question: str = ""
    image: bytes = b""
    answers: tuple[str, ...] = ()
    doc_id: str = ""
    layout: str = ""
    options: tuple[str, ...] = ()
    option_order: tuple[int, ...] = ()
    cycle: str = ""
    words: tuple[str, ...] = ()
    word_boxes: tuple[tuple[float, ...], ...] = ()
    span: GivenSpan | None = None
    evidence: tuple[Region, ...] = ()
    requires_zoom: bool | None = None
    unusable: str = ""

    def with_words(self, words: Sequence[tuple[str, tuple[float, ...]]]) -> Self:
        """The same with words of OCR, each with its box."""
        return replace(
            self,
            words=tuple(text for text, _ in words),
            word_boxes=tuple(box for _, box in words),
        )


_TEXTS = pa.list_(pa.string())
_BOX = pa.list_(pa.float64())
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "question": pa.string(),
        "image": pa.binary(),
        "answers": _TEXTS,
        "doc_id": pa.string(),
        "layout": pa.string(),
        "options": _TEXTS,
        "option_order": pa.list_(pa.int32()),
        "cycle": pa.string(),
        "words": _TEXTS,
        "word_boxes": pa.list_(_BOX),
        "span": pa.struct({"start": pa.int64(), "text": pa.string(), "exact": pa.bool_()}),
        "evidence": pa.list_(
            pa.struct({"label": pa.string(), "box": _BOX, "weight": pa.float64()})
        ),
        "requires_zoom": pa.bool_(),
        "unusable": pa.string(),
    }
)


def as_row(question: Question) -> Row:
    """As `SCHEMA` has it."""
    # Not `asdict` of it all: it would copy the image.
    row = {field.name: getattr(question, field.name) for field in fields(question)}
    row["span"] = None if question.span is None else asdict(question.span)
    row["evidence"] = [asdict(region) for region in question.evidence]
    return row


def from_row(row: Row) -> Question:
    """Inverse of `as_row`."""
    lists = ("answers", "options", "option_order", "words")
    return Question(
        **{
            **row,
            **{name: tuple(row[name]) for name in lists},
            "word_boxes": tuple(map(tuple, row["word_boxes"])),
            "span": row["span"] and GivenSpan(**row["span"]),
            "evidence": tuple(
                Region(region["label"], tuple(region["box"]), region["weight"])
                for region in row["evidence"]
            ),
        }
    )


def read_questions(path: Path) -> Iterator[Question]:
    """The questions of a downloaded split, in its order.

    Raises:
        DataError: the file is missing or not parquet.
    """
    return map(from_row, read_rows(path, SCHEMA.names))
