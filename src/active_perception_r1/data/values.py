"""What the cells of users' tables mean: texts, lists, boxes, pages, whatever type they come as.

Nothing is guessed: a value of which it is not clear what it means is a `ValueError` with what to do
about it. Numbers become texts as JSON writes them.
"""

from __future__ import annotations

import ast
import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from active_perception_r1.config.sources._table import BoxFormat
from active_perception_r1.data.questions import Region

T = TypeVar("T")

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_PATH_LENGTH = 1024  # characters; a longer text is no path


def is_nothing(value: Any) -> bool:
    """Whether a cell is empty; tables write that as null, as not-a-number or as no text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def is_list(value: Any) -> bool:
    """Whether a cell holds several values."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def text(value: Any) -> str:
    """
    >>> text(7), text(True), text(None)
    ('7', 'true', '')
    """
    match value:
        case _ if is_nothing(value):
            return ""
        case str():
            if not _is_storable(value):
                raise ValueError("it holds half of a surrogate pair, which no file can hold")
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case Decimal() | date():
            return str(value)
    raise ValueError(f"{_kind(value)} where a text should be")


def texts(value: Any) -> tuple[str, ...]:
    """One text or several.

    >>> texts("42"), texts([4, "2"]), texts(None)
    (('42',), ('4', '2'), ())
    """
    if isinstance(value, str) and _is_written_list(value):
        raise ValueError(f"a list written as text ({shown(value)}); give a list")
    if is_nothing(value):
        return ()
    return tuple(map(text, value)) if is_list(value) else (text(value),)


def truth(value: Any) -> bool | None:
    """
    >>> truth(0), truth("yes"), truth(None)
    (False, True, None)
    """
    word = text(value).strip().lower()
    if word not in (*_TRUE, *_FALSE, ""):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return word in _TRUE if word else None


def page(value: Any, folder: Path | None) -> bytes:
    """The encoded page; empty if there is none.

    Args:
        value: bytes, base64, a path, or a mapping that has one of them as `bytes` or `path`.
        folder: where paths begin; None if they lead nowhere.
    """
    match value:
        case _ if is_nothing(value):
            return b""
        case bytes():
            return value
        case Mapping() if not is_nothing(value.get("bytes")):
            return page(value["bytes"], folder)
        case Mapping() if "path" in value:
            return page(value["path"], folder)
        case str() if value.startswith("data:"):
            return _decoded(value.partition(",")[2])
        case str() if re.match("[a-z]+://", value):
            raise ValueError(f"{shown(value)} is elsewhere; download it, and give its path")
        case str() if len(value) <= _PATH_LENGTH:
            return _read(value, folder)
        case str():
            return _decoded(value)
        case list() if len(value) == 1:
            return page(value[0], folder)
        case list():
            raise ValueError(
                f"{len(value)} pages; a question here is about one, so give the one that answers it"
            )
    raise ValueError(f"{_kind(value)} where a page should be: bytes, base64, or a path")


def _read(name: str, folder: Path | None) -> bytes:
    try:
        if folder is not None and (folder / name).is_file():
            return (folder / name).read_bytes()
    except OSError as error:  # such as a name that is too long to be one
        fault = f"'{name[:60]}' cannot be read ({error.strerror})"
    else:
        where = f"in {folder}" if folder is not None and not Path(name).is_absolute() else "there"
        fault = f"no file '{name}' {where}"
    try:
        return _decoded(name)
    except ValueError:
        raise ValueError(fault) from None


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        raise ValueError(f"{shown(value)} is not base64") from None


def boxes(value: Any, format: BoxFormat) -> tuple[tuple[float, ...], ...]:
    """Boxes as x0, y0, x1, y1, in whatever unit they are.

    >>> boxes([[10, 20, 5, 5]], "xywh")
    ((10.0, 20.0, 15.0, 25.0),)
    """
    if is_nothing(value):
        return ()
    if not is_list(value) or not all(map(is_list, value)):
        raise ValueError(f"{shown(value)} is no list of boxes")
    return tuple(_box(box, format) for box in value)


def regions(value: Any, format: BoxFormat) -> tuple[Region, ...]:
    """Evidence: one box, several boxes, of which all count, or mappings with `label` and `box`.

    Any of them may be JSON in a text.

    >>> [region.label for region in regions([[0, 0, 1, 1], [2, 2, 3, 3]], "xyxy")]
    ['1', '2']
    """
    if is_nothing(value):
        return ()
    if isinstance(value, str):
        value = _parsed(value)
    if is_list(value) and value and all(map(_is_number, value)):
        value = [value]
    if isinstance(value, Mapping):
        value = _rows_of(value)
    if not is_list(value):
        raise ValueError(f"{shown(value)} is no list of boxes")
    return tuple(_region(entry, str(number), format) for number, entry in enumerate(value, start=1))


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is no list of boxes") from None


def _region(entry: Any, label: str, format: BoxFormat) -> Region:
    if is_list(entry):
        return Region(label, _box(entry, format))
    if not isinstance(entry, Mapping) or "box" not in entry:
        raise ValueError(f"{shown(entry)} is neither a box nor {{label, box}}")
    if unknown := entry.keys() - {"label", "box", "weight"}:
        raise ValueError(
            f"{shown(entry)} has {', '.join(sorted(unknown))}; known: label, box, weight"
        )
    weight = entry.get("weight")
    if weight is not None and not (_is_number(weight) and 0 < weight < math.inf):
        raise ValueError(f"weight {shown(weight)} is no number above 0")
    named = text(entry.get("label")) or label
    return Region(named, _box(entry["box"], format), 1.0 if weight is None else float(weight))


def _rows_of(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Mappings from a mapping of lists, as which some files store them; one stays one."""
    columns = {key: cells for key, cells in value.items() if cells is not None}
    if not all(map(is_list, columns.values())) or not all(map(is_list, columns.get("box", ()))):
        return [value]
    if len({len(cells) for cells in columns.values()}) != 1:
        raise ValueError(f"{shown(value)} has lists of different lengths")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _box(value: Any, format: BoxFormat) -> tuple[float, ...]:
    if not is_list(value) or len(value) != 4 or not all(map(_is_number, value)):
        raise ValueError(f"{shown(value)} is not a box of four numbers")
    x, y, right, bottom = map(float, value)
    return (x, y, right, bottom) if format == "xyxy" else (x, y, x + right, y + bottom)


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."


def named(column: str, read: Callable[..., T], *arguments: Any) -> T:
    """What `read` gives; what it complains about is said to be of this column."""
    try:
        return read(*arguments)
    except ValueError as error:
        raise ValueError(f"column {column}: {error}") from None


def _is_storable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_written_list(value: str) -> bool:
    if not (value.startswith("[") and value.endswith("]")):
        return False
    try:
        return isinstance(ast.literal_eval(value), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _kind(value: Any) -> str:
    kinds = {"bool": "true or false", "bytes": "bytes", "dict": "a struct", "list": "a list"}
    name = type(value).__name__
    return "a number" if _is_number(value) else kinds.get(name, f"a value of type {name}")
