"""The layout of a dataset on disk: that of `nielsr/docvqa_1200_examples`, with optional columns.

`doc_id` tells which page a row shows, `layout` what kind of page it is, `requires_zoom` whether the
answer can be read only by zooming, and `exact_span` that `answer` is where the answer really
stands and not merely where its text was found first.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from active_perception_r1.errors import DataError

Row: TypeAlias = dict[str, Any]

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.binary()),
        ("query", pa.struct([("en", pa.string())])),
        ("answers", pa.list_(pa.string())),
        ("words", pa.list_(pa.string())),
        ("bounding_boxes", pa.list_(pa.list_(pa.float64()))),
        (
            "answer",
            pa.struct(
                [
                    ("match_score", pa.float64()),
                    ("matched_text", pa.string()),
                    ("start", pa.int64()),
                    ("text", pa.string()),
                ]
            ),
        ),
        ("doc_id", pa.string()),
        ("layout", pa.string()),
        ("requires_zoom", pa.bool_()),
        ("exact_span", pa.bool_()),
    ]
)
OPTIONAL = ("doc_id", "layout", "requires_zoom", "exact_span")
REQUIRED = tuple(name for name in SCHEMA.names if name not in OPTIONAL)
ROWS_PER_GROUP = 8
"""Small row groups let a slice fetch single rows in any order with little memory."""


@dataclass(frozen=True, slots=True)
class Source:
    """One split.

    Attributes:
        rows: those from an index on.
        total: how many there are in all.
        revision: identifies the state of the data that they are from.
    """

    rows: Callable[[int], Iterable[Row]]
    total: int
    revision: str


def unknown_split(where: str, split: str, available: Iterable[str]) -> DataError:
    """The error for a split that a dataset does not have."""
    return DataError(f"{where}: no split '{split}'; there are: {', '.join(available) or 'none'}")


def check_columns(schema: pa.Schema, where: str) -> None:
    """Checks that the columns every dataset must have are there and hold what they should.

    Types are compared loosely: lists of any number type, say, will do for boxes.

    Raises:
        DataError: some are missing, or one is not a list or a struct where it must be.
    """
    if missing := [name for name in REQUIRED if name not in schema.names]:
        raise DataError(
            f"{where}: column {', '.join(missing)} missing; a dataset needs the columns"
            f" {', '.join(REQUIRED)} (found: {', '.join(schema.names)})"
        )
    for name, is_right, kind in _KINDS:
        found = schema.field(name).type
        if not is_right(found) and not pa.types.is_null(found):
            raise DataError(f"{where}: column {name} is of type {found}, but must be a {kind}")


def _is_list(found: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
    )


_KINDS: tuple[tuple[str, Callable[[pa.DataType], bool], str], ...] = (
    ("answers", _is_list, "list"),
    ("words", _is_list, "list"),
    ("bounding_boxes", _is_list, "list"),
    ("query", pa.types.is_struct, "struct"),
    ("answer", pa.types.is_struct, "struct"),
)


def normalised(row: Row) -> Row:
    """The row as `SCHEMA` has it; columns it lacks become None.

    Images come as plain bytes or as the `datasets` library stores them, with a path beside.
    """
    row = {name: row.get(name) for name in SCHEMA.names}
    if isinstance(row["image"], dict):
        row["image"] = row["image"]["bytes"]
    row["id"] = None if row["id"] is None else str(row["id"])
    return row


class RowWriter:
    """Writes rows to a parquet file, holding `ROWS_PER_GROUP` of them in memory.

    Raises:
        DataError: a row does not fit the schema.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema)
        self._schema = schema
        self._waiting: list[Row] = []

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def add(self, row: Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        try:
            table = pa.Table.from_pylist(self._waiting, schema=self._schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            first, last = self._waiting[0]["id"], self._waiting[-1]["id"]
            raise DataError(
                f"rows '{first}' to '{last}': a value is of a wrong type ({error})"
            ) from None
        self._writer.write_table(table)
        self._waiting = []


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a parquet file for reading.

    Raises:
        DataError: it is missing or not parquet.
    """
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from None


def group_starts(file: pq.ParquetFile) -> list[int]:
    """Index of the first row of each row group, and the number of rows as if one more followed."""
    sizes = (file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    return list(accumulate(sizes, initial=0))


def read_rows(path: Path, start: int = 0) -> Iterator[Row]:
    """The rows from `start` on, a few at a time, with those columns of `SCHEMA` that there are."""
    with open_parquet(path) as file:
        columns = [name for name in SCHEMA.names if name in file.schema_arrow.names]
        starts = group_starts(file)
        group = bisect.bisect_right(starts, start) - 1
        groups = range(group, file.num_row_groups)
        batches = file.iter_batches(ROWS_PER_GROUP, row_groups=groups, columns=columns)
        rows = chain.from_iterable(batch.to_pylist() for batch in batches)
        yield from islice(rows, start - starts[group], None)
