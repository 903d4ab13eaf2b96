"""DeepEyes' tool call, in pixels of the original page, whose size the prompt tells."""

from active_perception_r1.utils.syntaxes._tool_call import (
    LABEL,
    TOOL_CALL,
    example,
    tool_call,
    zoom_tool,
)
from active_perception_r1.utils.trace_parser import Syntax, Unit

SYNTAX = Syntax(
    "deepeyes",
    Unit.PAGE_PIXELS,
    example("image_zoom_in_tool"),
    TOOL_CALL,
    tool_call("image_zoom_in_tool"),
    tool=zoom_tool("pixels of the original image", label=LABEL),
)
