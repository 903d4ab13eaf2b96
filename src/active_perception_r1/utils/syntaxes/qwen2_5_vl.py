"""Qwen2.5-VL's tool call, in pixels of the image as it was shown."""

from active_perception_r1.utils.syntaxes._tool_call import (
    LABEL,
    TOOL_CALL,
    example,
    tool_call,
    zoom_tool,
)
from active_perception_r1.utils.trace_parser import Syntax, Unit

SYNTAX = Syntax(
    "qwen2_5_vl",
    Unit.VIEW_PIXELS,
    example("image_zoom_in_tool"),
    TOOL_CALL,
    tool_call("image_zoom_in_tool"),
    tool=zoom_tool("pixels of the image", label=LABEL),
)
