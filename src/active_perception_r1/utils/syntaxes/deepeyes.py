"""DeepEyes' tool call, in pixels of the original page."""

from __future__ import annotations

from active_perception_r1.utils.syntaxes._tool_call import TOOL_CALL, example, tool_call
from active_perception_r1.utils.trace_parser import Syntax, Unit

SYNTAX = Syntax(
    "deepeyes",
    Unit.PAGE_PIXELS,
    example("image_zoom_in_tool"),
    TOOL_CALL,
    tool_call("image_zoom_in_tool"),
)
