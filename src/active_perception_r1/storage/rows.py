"""Rows of parquet files, read and written a few at a time."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from active_perception_r1.errors import DataError

Row: TypeAlias = dict[str, Any]

ROWS_PER_GROUP = 8
"""Small row groups let a slice fetch single rows in any order with little memory."""


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


def read_rows(path: Path, names: Collection[str], start: int = 0) -> Iterator[Row]:
    """The rows from `start` on, a few at a time, with those of these columns that there are."""
    with open_parquet(path) as file:
        columns = [name for name in names if name in file.schema_arrow.names]
        starts = group_starts(file)
        group = bisect.bisect_right(starts, start) - 1
        groups = range(group, file.num_row_groups)
        batches = file.iter_batches(ROWS_PER_GROUP, row_groups=groups, columns=columns)
        rows = chain.from_iterable(batch.to_pylist() for batch in batches)
        try:
            yield from islice(rows, start - starts[group], None)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: a text is not UTF-8 ({error}); write the file anew") from None
