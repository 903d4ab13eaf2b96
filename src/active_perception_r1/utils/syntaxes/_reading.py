"""What the readers of several call syntaxes share."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeAlias

from active_perception_r1.utils.trace_parser import MalformedError

Corners: TypeAlias = tuple[float, float, float, float]

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def number(text: str) -> float:
    """An ASCII decimal number; infinities and NaN pass, since they are a fault of the box."""
    text = text.strip(" \t\r\n")
    if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(text)
    raise MalformedError(f"not a number: {text[:32]!r}")


def json_object(body: str) -> dict[str, Any]:
    """The object that the whole body is."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("the call is not valid JSON") from None
    if not isinstance(value, dict):
        raise MalformedError("the call is not a JSON object")
    return value


def json_box(value: object) -> Corners:
    """The corners in a list of four numbers, or in a text that is such a list."""
    if isinstance(value, str):  # arguments between XML tags are texts, and some models quote lists
        return read_list(value)
    if not isinstance(value, list) or len(value) != 4:
        raise MalformedError("the box is not a list of four numbers")
    numbers = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise MalformedError("the box is not a list of four numbers")
        try:
            numbers.append(float(item))
        except OverflowError:
            numbers.append(math.inf)
    return numbers[0], numbers[1], numbers[2], numbers[3]


def read_list(body: str) -> Corners:
    """The corners in the text of a list, or of a list of one list."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("the box is not a list of four numbers") from None
    if isinstance(value, str):
        raise MalformedError("the box is not a list of four numbers")
    if isinstance(value, list) and len(value) == 1:  # InternVL writes a list of boxes
        value = value[0]
    return json_box(value)


def enclosed(opening: str, closing: str) -> re.Pattern[str]:
    """A call between two tags; an unclosed one ends where the next call opens or the text ends."""
    return re.compile(
        rf"{re.escape(opening)}(?P<body>.*?)"
        rf"(?:(?P<end>{re.escape(closing)})|(?={re.escape(opening)})|\Z)",
        re.DOTALL,
    )
