"""Formats that are tables: one row a question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from active_perception_r1.config.errors import nearest
from active_perception_r1.config.sources._table import BoxFormat, Columns, TableDataset
from active_perception_r1.data import values
from active_perception_r1.data.choices import check_options, right_options
from active_perception_r1.data.column_types import check_type
from active_perception_r1.data.formats._format import BadRow, Format, Opened, Split, Table
from active_perception_r1.data.questions import Question
from active_perception_r1.errors import DataError
from active_perception_r1.storage.rows import Row


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of one table are read.

    Attributes:
        columns: which column holds what.
        folder: where paths of images begin.
    """

    columns: Columns
    box_format: BoxFormat
    folder: Path | None


class TableFormat(Format):
    """A table of which it is known, or said, which column holds what.

    Attributes:
        columns: those that must be there.
        also: further columns that must be there, since `question` reads them.
        may_have: further columns that it reads if they are there.
        letters: whether the right option is always given by its letter.
    """

    columns: ClassVar[Columns] = Columns()
    also: ClassVar[tuple[str, ...]] = ()
    may_have: ClassVar[tuple[str, ...]] = ()
    letters: ClassVar[bool] = False

    def open(self, source: Opened, dataset: TableDataset, split: str) -> Split:
        table = source.table(split)
        columns = self.found_columns(dataset.columns, table)
        reading = Reading(columns, dataset.box_format or self.box_format, table.folder)
        used = {_top(name, table.columns) for name in _names(columns)}
        used |= {name for name in (*self.also, *self.may_have) if name in table.columns}

        def questions(start: int) -> Iterator[Question]:
            for number, row in enumerate(table.rows(start, used), start + 1):
                yield self.read(row, f"row {number}", reading)

        return Split(questions, table.total, table.revision, self.box_unit, self.about)

    def found_columns(self, given: Columns, table: Table) -> Columns:
        """The columns of the format, or of `given` where that names others.

        Raises:
            DataError: a column is not there.
        """
        said = self.columns.model_dump(exclude_none=True) | given.model_dump(exclude_none=True)
        columns = Columns(**said)
        for key, value in said.items():
            for name in value if isinstance(value, list) else [value]:
                if _top(name, table.columns) not in table.columns:
                    raise DataError(
                        f"{table.name}: columns.{key}: there is no column '{name}';"
                        f" {nearest(name, table.columns)}"
                    )
                if table.schema is not None:
                    check_type(table.name, table.schema, key, name)
        if missing := [name for name in self.also if name not in table.columns]:
            raise DataError(
                f"{table.name}: there is no column {', '.join(missing)}; there are:"
                f" {', '.join(table.columns)}"
            )
        return columns

    def read(self, row: Row | BadRow, place: str, reading: Reading) -> Question:
        """The question of a row; one that says why where it cannot be used."""
        if isinstance(row, BadRow):
            return Question(row.place, unusable=row.reason)
        try:
            question = self.question(row, reading)
        except ValueError as error:
            names = reading.columns.id, reading.columns.question
            id, asked = (_if_readable(row, name) for name in names)
            # A message may quote what no file can hold.
            reason = str(error).encode(errors="backslashreplace").decode()
            return Question(id or place, asked, unusable=reason)
        return question if question.id else replace(question, id=_content(question))

    def question(self, row: Row, reading: Reading) -> Question:
        """The question of a row.

        Raises:
            ValueError: why it cannot be used.
        """
        columns = reading.columns

        def read(key: str, how: Callable[..., Any], *arguments: Any) -> Any:
            column = getattr(columns, key)
            if column is None:
                return how(None, *arguments)
            return values.named(column, how, _cell(row, column), *arguments)

        options = _options(row, columns.options)
        return Question(
            id=read("id", values.text),
            question=read("question", values.text),
            image=read("image", values.page, reading.folder),
            answers=read("answers", right_options, options, self.letters)
            if options
            else read("answers", values.texts),
            doc_id=read("doc_id", values.text),
            layout=read("layout", values.text),
            options=options,
            words=read("words", values.texts),
            word_boxes=read("bounding_boxes", values.boxes, reading.box_format),
            evidence=read("evidence", values.regions, reading.box_format),
            requires_zoom=read("requires_zoom", values.truth),
        )


def _options(row: Row, column: str | Sequence[str] | None) -> tuple[str, ...]:
    if column is None:
        return ()
    if isinstance(column, str):
        name, given = column, values.named(column, values.texts, _cell(row, column))
    else:
        name = ", ".join(column)
        given = tuple(values.named(part, values.text, _cell(row, part)) for part in column)
    options = tuple(option.strip() for option in given if option.strip())
    if options:
        values.named(name, check_options, options)
    return options


def _names(columns: Columns) -> Iterator[str]:
    for _, value in columns:
        if value is not None:
            yield from value if isinstance(value, list) else [value]


def _top(name: str, columns: Collection[str]) -> str:
    """The column that a name with dots leads into."""
    return name if name in columns else name.partition(".")[0]


def _cell(row: Row, name: str) -> Any:
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ValueError(f"column {name}: nothing in it is named '{part}'")
        value = value.get(part)
    return value


def _if_readable(row: Row, column: str | None) -> str:
    """A text of a row that cannot be used; empty if it is what makes it so."""
    try:
        return values.text(_cell(row, column)) if column else ""
    except ValueError:
        return ""


def _content(question: Question) -> str:
    """An id made of what is asked about which page; independent of the order of rows."""
    asked = [question.question, question.answers, question.options]
    digest = hashlib.sha256(json.dumps(asked).encode())
    digest.update(question.image)
    return digest.hexdigest()[:16]
