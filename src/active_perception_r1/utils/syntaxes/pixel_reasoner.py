"""Pixel-Reasoner's tool call, 0-1 of the page."""

from __future__ import annotations

from active_perception_r1.utils.syntaxes._tool_call import TOOL_CALL, example, tool_call
from active_perception_r1.utils.trace_parser import Syntax, Unit

SYNTAX = Syntax(
    "pixel_reasoner",
    Unit.PAGE,
    example("crop_image_normalized"),
    TOOL_CALL,
    tool_call("crop_image_normalized", {"target_image": 1}),
)
