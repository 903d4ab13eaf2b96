"""The call of Qwen3.5, 3.6 and 3.8: XML between `<tool_call>` tags, 0-1000 of the page."""

from __future__ import annotations

import re

from active_perception_r1.utils.syntaxes._reading import Corners, json_box
from active_perception_r1.utils.syntaxes._tool_call import (
    LABEL,
    TOOL_CALL,
    require_page,
    zoom_tool,
)
from active_perception_r1.utils.trace_parser import MalformedError, Syntax, Unit

_FUNCTION = re.compile(r"\s*<function=(?P<name>[^>\s]*)>(?P<body>.*)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(
    r"\s*<parameter=(?P<key>\w+)>(?P<value>[^<]*)</parameter>\s*", re.ASCII | re.DOTALL
)
_TOOL = zoom_tool(
    "0 to 1000 over the image",
    label=LABEL,
    img_idx={"type": "number", "description": "Index of the image, from 0."},
)


def _read(body: str) -> Corners:
    function = _FUNCTION.fullmatch(body)
    if function is None:
        raise MalformedError("the call is not <function=..>..</function>")
    if function["name"] != _TOOL.name:
        raise MalformedError(f"unknown tool; the only tool is {_TOOL.name}")
    arguments = _arguments(function["body"])
    require_page(arguments, {"img_idx": 0})
    if "bbox_2d" not in arguments:
        raise MalformedError("missing bbox_2d")
    return json_box(arguments["bbox_2d"])


def _arguments(body: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(body) and (rest := body[position:]).strip():
        match = _PARAMETER.match(body, position)
        if match is None:
            raise MalformedError(f"cannot read {rest.strip()[:32]!r}")
        if match["key"] in found:
            raise MalformedError(f"{match['key']} is given twice")
        found[match["key"]] = match["value"].strip()
        position = match.end()
    return found


SYNTAX = Syntax(
    "qwen3_5",
    Unit.THOUSAND,
    f"<tool_call>\n<function={_TOOL.name}>\n<parameter=bbox_2d>\n[x0, y0, x1, y1]\n</parameter>\n"
    "</function>\n</tool_call>",
    TOOL_CALL,
    _read,
    tool=_TOOL,
)
