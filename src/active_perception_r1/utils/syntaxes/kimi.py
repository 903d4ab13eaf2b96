"""The call of Kimi K2.5 and K2.6: JSON between special tokens.

Taken to be 0-1000 of the page: the unit is not documented.
"""

from __future__ import annotations

from active_perception_r1.utils.syntaxes._reading import Corners, enclosed, json_box, json_object
from active_perception_r1.utils.syntaxes._tool_call import LABEL, zoom_tool
from active_perception_r1.utils.trace_parser import MalformedError, Syntax, Unit

_TOOL = zoom_tool("0 to 1000 over the image", label=LABEL)
_ARGUMENTS = "<|tool_call_argument_begin|>"


def _read(body: str) -> Corners:
    called, found, arguments = body.partition(_ARGUMENTS)
    # As `functions.NAME:INDEX`.
    name = called.strip().removeprefix("functions.").rpartition(":")[0]
    if not found:
        raise MalformedError("the call has no arguments")
    if name != _TOOL.name:
        raise MalformedError(f"unknown tool; the only tool is {_TOOL.name}")
    return json_box(json_object(arguments).get("bbox_2d"))


SYNTAX = Syntax(
    "kimi",
    Unit.THOUSAND,
    f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{_TOOL.name}:0{_ARGUMENTS}"
    '{"bbox_2d": [x0, y0, x1, y1]}<|tool_call_end|><|tool_calls_section_end|>',
    enclosed("<|tool_call_begin|>", "<|tool_call_end|>"),
    _read,
    tool=_TOOL,
)
