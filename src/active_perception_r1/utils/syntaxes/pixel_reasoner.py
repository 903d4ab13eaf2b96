"""Pixel-Reasoner's tool call, 0-1 of the page."""

from active_perception_r1.utils.syntaxes._tool_call import (
    TOOL_CALL,
    example,
    tool_call,
    zoom_tool,
)
from active_perception_r1.utils.trace_parser import Syntax, Unit

_IMAGE = {"type": "number", "description": "Number of the image, from 1."}

SYNTAX = Syntax(
    "pixel_reasoner",
    Unit.PAGE,
    example("crop_image_normalized"),
    TOOL_CALL,
    tool_call("crop_image_normalized", {"target_image": 1}),
    tool=zoom_tool(
        "fractions of the image from 0 to 1", "crop_image_normalized", target_image=_IMAGE
    ),
)
