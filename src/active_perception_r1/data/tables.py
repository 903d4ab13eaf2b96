"""Tables in files: parquet, JSON lines, and comma or tab separated text.

A row that cannot be read is a `BadRow` in its place.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from active_perception_r1.data.formats import BadRow, Table
from active_perception_r1.errors import DataError
from active_perception_r1.storage.files import sha256_of
from active_perception_r1.storage.rows import Row, open_parquet, read_rows

Rows: TypeAlias = "Iterator[Row | BadRow]"


def open_table(path: Path) -> Table:
    """A table, by the suffix of its file; paths of images begin at its folder.

    Raises:
        DataError: there is no such file, or it is of another kind.
    """
    kinds: dict[str, Callable[[Path], Table]] = {
        ".parquet": _parquet,
        ".jsonl": partial(_text, read=_json_lines),
        ".csv": partial(_text, read=partial(_separated, delimiter=",")),
        ".tsv": partial(_text, read=partial(_separated, delimiter="\t")),
    }
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.suffix not in kinds:
        raise DataError(f"{path}: not a table that can be read; known: {', '.join(kinds)}")
    return kinds[path.suffix](path)


def _parquet(path: Path) -> Table:
    with open_parquet(path) as file:
        schema, total = file.schema_arrow, file.metadata.num_rows

    def rows(start: int, columns: Collection[str]) -> Iterable[Row]:
        return read_rows(path, columns, start)

    return Table(str(path), schema.names, rows, total, sha256_of(path), path.parent, schema)


def _text(path: Path, read: Callable[[Path], Rows]) -> Table:
    """Read twice: names of columns and the number of rows are known only at the end."""
    names: dict[str, None] = {}
    total = 0
    try:
        for row in read(path):
            total += 1
            names.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}, byte {error.start})") from None

    def rows(start: int, columns: Collection[str]) -> Rows:
        return islice(read(path), start, None)

    return Table(str(path), list(names), rows, total, sha256_of(path), path.parent)


def _json_lines(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield BadRow(f"line {number}", f"line {number} is not valid JSON ({error})")
            else:
                wrong = f"line {number} is not a JSON object"
                yield row if isinstance(row, dict) else BadRow(f"line {number}", wrong)


def _separated(path: Path, delimiter: str) -> Rows:
    """Cells that are lists or objects in JSON become those; all others stay text."""
    csv.field_size_limit(sys.maxsize)  # Pages are as long as they are in base64.
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"{path}, line {reader.line_num}: {error}") from None
            place = f"line {reader.line_num}"
            if None in row or None in row.values():
                found = len(reader.fieldnames or ())
                yield BadRow(place, f"{place} has not the {found} cells that the first line names")
            else:
                yield {name: _cell(value) for name, value in row.items()}


def _cell(value: str) -> Any:
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
