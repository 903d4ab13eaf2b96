"""Which types a column may have, told before rows are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types as arrow

from active_perception_r1.errors import DataError


def _is_list(found: pa.DataType) -> bool:
    return bool(
        arrow.is_list(found) or arrow.is_large_list(found) or arrow.is_fixed_size_list(found)
    )


def _is_text(found: pa.DataType) -> bool:
    return not (arrow.is_nested(found) or arrow.is_binary(found) or arrow.is_large_binary(found))


def _is_texts(found: pa.DataType) -> bool:
    return _is_text(found) or (_is_list(found) and _is_text(found.value_type))


def _is_boxes(found: pa.DataType) -> bool:
    return _is_list(found) and _is_list(found.value_type)


def _is_evidence(found: pa.DataType) -> bool:
    return _is_list(found) or arrow.is_struct(found) or _is_string(found)


def _is_string(found: pa.DataType) -> bool:
    return bool(arrow.is_string(found) or arrow.is_large_string(found))


def _is_page(found: pa.DataType) -> bool:
    if _is_list(found):
        return _is_page(found.value_type)
    kinds = (arrow.is_struct, arrow.is_binary, arrow.is_large_binary, _is_string)
    return any(is_kind(found) for is_kind in kinds)


@dataclass(frozen=True, slots=True)
class _Kind:
    fits: Callable[[pa.DataType], bool]
    wanted: str


_TEXT = _Kind(_is_text, "a text or a number")
_TEXTS = _Kind(_is_texts, "a text or a list of texts")
_KINDS: Mapping[str, _Kind] = {
    "id": _TEXT,
    "doc_id": _TEXT,
    "image": _Kind(_is_page, "bytes, base64, a path, or a struct with bytes or path"),
    "question": _TEXT,
    "answers": _TEXTS,
    "options": _TEXTS,
    "evidence": _Kind(_is_evidence, "boxes, or structs with label and box, in a list or as JSON"),
    "words": _TEXTS,
    "bounding_boxes": _Kind(_is_boxes, "a list of boxes, each a list of four numbers"),
    "requires_zoom": _Kind(_is_text, "true or false, or 0 or 1"),
    "layout": _TEXT,
}


def check_type(table: str, schema: pa.Schema, key: str, column: str) -> None:
    """Checks that a column can hold what it is named for.

    Args:
        key: as `Columns` has it.
        column: with dots into structs.

    Raises:
        DataError: it is of another type.
    """
    found = _type_of(schema, column)
    kind = _KINDS[key]
    if found is not None and not arrow.is_null(found) and not kind.fits(found):
        raise DataError(
            f"{table}: column {column} is of type {found}, but {key} must be {kind.wanted};"
            f" convert it, or name another one by `columns: {{{key}: NAME}}`"
        )


def _type_of(schema: pa.Schema, column: str) -> pa.DataType | None:
    """None where the way to it does not lead through structs."""
    if column in schema.names:
        return schema.field(column).type
    first, *others = column.split(".")
    found = schema.field(first).type
    for part in others:
        if not arrow.is_struct(found) or found.get_field_index(part) < 0:
            return None
        found = found.field(part).type
    return found
