"""Our own: `<zoom_roi x0=".." y0=".." x1=".." y1=".."/>`, 0-1 of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator

from active_perception_r1.utils.syntaxes._reading import Corners, number
from active_perception_r1.utils.trace_parser import MalformedError, Syntax, Unit

_ATTRIBUTE = re.compile(
    r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'/]+))",
    re.ASCII,
)


def _read_attributes(body: str) -> Corners:
    """`x0=".." y0=".." x1=".." y1=".."` or `x=".." y=".." w=".." h=".."`, quoted or not."""
    values: dict[str, str] = {}
    for name, value in _attributes(body):
        if name in values:
            raise MalformedError(f"{name} is given twice")
        values[name] = value
    corners = [key for key in ("x0", "y0", "x1", "y1") if key in values]
    spans = [key for key in ("x", "y", "w", "h") if key in values]
    if corners and spans:
        raise MalformedError("x0 y0 x1 y1 and x y w h are mixed")
    wanted = ("x", "y", "w", "h") if spans else ("x0", "y0", "x1", "y1")
    if missing := [key for key in wanted if key not in values]:
        raise MalformedError(f"missing {' '.join(missing)}")
    a, b, c, d = (number(values[key]) for key in wanted)
    return (a, b, a + c, b + d) if spans else (a, b, c, d)


def _attributes(body: str) -> Iterator[tuple[str, str]]:
    body = body.rstrip().removesuffix("/").rstrip()
    position = 0
    while position < len(body):
        match = _ATTRIBUTE.match(body, position)
        if match is None:
            raise MalformedError(f"cannot read {body[position : position + 32].strip()!r}")
        yield match["name"], match["double"] or match["single"] or match["bare"] or ""
        position = match.end()


SYNTAX = Syntax(
    "zoom_roi",
    Unit.PAGE,
    '<zoom_roi x0=".." y0=".." x1=".." y1=".."/>',
    re.compile(r"<zoom_roi(?![\w-])(?P<body>[^<>]*)(?P<end>>?)"),
    _read_attributes,
)
