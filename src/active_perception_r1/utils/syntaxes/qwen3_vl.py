"""Qwen3-VL's tool call, 0-1000 of the page."""

from __future__ import annotations

from active_perception_r1.utils.syntaxes._tool_call import TOOL_CALL, example, tool_call
from active_perception_r1.utils.trace_parser import Syntax, Unit

SYNTAX = Syntax(
    "qwen3_vl",
    Unit.THOUSAND,
    example("image_zoom_in_tool"),
    TOOL_CALL,
    tool_call("image_zoom_in_tool", {"img_idx": 0}),
)
