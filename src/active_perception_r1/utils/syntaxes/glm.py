"""GLM-V's tool call with keys and values between tags, 0-1000 of the page."""

from __future__ import annotations

import re

from active_perception_r1.utils.syntaxes._reading import Corners, read_list
from active_perception_r1.utils.syntaxes._tool_call import LABEL, TOOL_CALL, zoom_tool
from active_perception_r1.utils.trace_parser import MalformedError, Syntax, Unit

_GLM_ARGUMENT = re.compile(
    r"\s*<arg_key>\s*(?P<key>\w+)\s*</arg_key>\s*<arg_value>(?P<value>[^<]*)</arg_value>\s*"
)


def _read_glm(body: str) -> Corners:
    name, _, rest = body.partition("<arg_key>")
    if name.strip() != "image_zoom_in_tool":
        raise MalformedError("unknown tool; the only tool is image_zoom_in_tool")
    rest, position, box = "<arg_key>" + rest, 0, None
    while position < len(rest):
        match = _GLM_ARGUMENT.match(rest, position)
        if match is None:
            raise MalformedError("arguments are not pairs of arg_key and arg_value")
        if match["key"] == "bbox_2d":
            box = match["value"]
        position = match.end()
    if box is None:
        raise MalformedError("missing bbox_2d")
    return read_list(box)


SYNTAX = Syntax(
    "glm",
    Unit.THOUSAND,
    "<tool_call>image_zoom_in_tool<arg_key>bbox_2d</arg_key>"
    "<arg_value>[x0, y0, x1, y1]</arg_value></tool_call>",
    TOOL_CALL,
    _read_glm,
    tool=zoom_tool("0 to 1000 over the image", label=LABEL),
)
