"""Values as trainers hand them over, in one form: lists, numpy arrays, JSON and nulls all occur.

Each reader takes what `plain` returns, and raises a ValueError that says what it wants.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Step

Reader = Callable[[Any], Any]

_ANSWERS = ("answers", "ground_truth")
_SIDES = ("x0", "y0", "x1", "y1")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def plain(value: Any) -> Any:
    """Arrays to lists and numpy scalars to Python's, at any depth."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def missing(value: Any) -> bool:
    """Null, or what pandas makes of it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def structure(value: Any) -> Any:
    """What a text of JSON says, if that is a list or a mapping; anything else as it is.

    A plain text that happens to be JSON, such as `42` or `true`, stays a text.
    """
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def answers(value: Any) -> tuple[str, ...]:
    """A text, a list of texts, or a mapping with `answers` or `ground_truth`; any may be JSON.

    A missing (null) or blank answer is dropped.

    >>> answers('["42", null]'), answers("42"), answers({"answers": ["forty-two"]})
    (('42',), ('42',), ('forty-two',))
    """
    meant = structure(value)
    if isinstance(meant, Mapping) and not meant.keys().isdisjoint(_ANSWERS):
        return tuple(answer for key in _ANSWERS for answer in answers(meant.get(key)))
    found = list(meant) if isinstance(meant, list) else [value]
    if isinstance(value, str) and not all(isinstance(text, str | None) for text in found):
        found.append(value)  # `[3]` may be a list of one number, or what stands on the page.
    return tuple(str(text) for text in found if not missing(text) and str(text).strip())


def text(value: Any) -> str:
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    """A list, or its JSON; a single text is a list of one, and null in a list is empty."""
    found = structure(value)
    if not isinstance(found, list):
        return (str(value),)
    return tuple("" if missing(item) else str(item) for item in found)


def flag(value: Any) -> bool:
    """
    >>> flag("False"), flag(1)
    (False, True)
    """
    word = str(int(value)) if value in (0, 1) else str(value).strip().lower()
    if word not in _FLAGS:
        raise ValueError(f"give true or false, not {value!r}")
    return _FLAGS[word]


def number(least: float, most: float = math.inf) -> Reader:
    """A reader of finite numbers in a range."""

    def read(value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not (math.isfinite(found) and least <= found <= most):
            wanted = f"of at least {least}" if math.isinf(most) else f"from {least} to {most}"
            raise ValueError(f"give a number {wanted}, not {value!r}")
        return found

    return read


def count(value: Any) -> int:
    found = number(0)(value)
    if not found.is_integer():
        raise ValueError(f"give a whole number, not {value!r}")
    return int(found)


def size(value: Any) -> tuple[int, int]:
    """Width and height in pixels."""
    try:
        width, height = map(int, structure(value))
    except (TypeError, ValueError):
        width = height = 0
    if min(width, height) < 1:
        raise ValueError(f"give [width, height] in pixels, not {value!r}")
    return width, height


def evidence(value: Any) -> tuple[Evidence, ...]:
    """Rows with a `box` or `x0 y0 x1 y1`, 0-1 of the page, and maybe `label` and `weight`."""
    regions = tuple(_region(f"evidence {number}", row) for number, row in enumerate(_rows(value)))
    if regions and not any(region.weight for region in regions):
        raise ValueError("every weight is 0: give one that counts, or no evidence")
    return regions


def steps(value: Any) -> tuple[Step, ...]:
    """Rows with the fields of `records.Step`, as an episode writes them."""
    found = []
    for number, row in enumerate(_rows(value)):
        try:
            found.append(Step.from_dict(row))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"zoom call {number} is no recorded step: {error!r}") from None
    return tuple(found)


def _rows(value: Any) -> list[Any]:
    rows = structure(value)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"give a list of mappings, not {value!r:.80}")
    return rows


def _region(name: str, row: Mapping[str, Any]) -> Evidence:
    corners = structure(row if missing(row.get("box")) else row["box"])
    if isinstance(corners, Mapping):
        corners = [corners.get(side) for side in _SIDES]
    try:
        x0, y0, x1, y1 = map(float, corners)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} has no box: give box: [x0, y0, x1, y1], not {dict(row)!r}"
        ) from None
    label = "answer" if missing(row.get("label")) else str(row["label"])
    weight = 1.0 if row.get("weight") is None else row["weight"]
    try:
        box = Box(x0, y0, x1, y1)
        region = Evidence(label, box, float(weight))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    if not box.inside_page:
        raise ValueError(
            f"{name}: box {list(box.as_tuple())} leaves the page; divide pixels by its size, for"
            " coordinates from 0 to 1"
        )
    return region
