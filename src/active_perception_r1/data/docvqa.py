"""The layout of a dataset on disk: that of `nielsr/docvqa_1200_examples`, with optional columns.

`doc_id` tells which page a row shows, `layout` what kind of page it is, `requires_zoom` whether the
answer can be read only by zooming, and `exact_span` that `answer` is where the answer really
stands and not merely where its text was found first. `unusable` tells why a row cannot be used, if
that was seen when it was brought to disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from active_perception_r1.errors import DataError
from active_perception_r1.storage.rows import Row

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
        ("unusable", pa.string()),
    ]
)
OPTIONAL = ("doc_id", "layout", "requires_zoom", "exact_span", "unusable")
_TEXTS = ("id", "query", "answers", "words", "answer", "doc_id", "layout")
REQUIRED = tuple(name for name in SCHEMA.names if name not in OPTIONAL)


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

    Images come as plain bytes or as the `datasets` library stores them, with a path beside. Text
    that no file can hold (half of a surrogate pair, from JSON) makes a row unusable, and no other.
    """
    row = {name: row.get(name) for name in SCHEMA.names}
    if isinstance(row["image"], dict):
        row["image"] = row["image"]["bytes"]
    row["id"] = None if row["id"] is None else str(row["id"])
    for name in _TEXTS:
        if (storable := _storable(row[name])) != row[name]:
            row[name] = storable
            row["unusable"] = f"its {name} holds half of a surrogate pair, which no file can hold"
    return row


def _storable(value: Any) -> Any:
    """The value with such halves in its texts, however deep, replaced by question marks."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {key: _storable(item) for key, item in value.items()}
    return value
