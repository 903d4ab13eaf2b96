"""Qwen3-VL's tool call, 0-1000 of the page.

`img_idx` counts the user's images only; repeated zooms are into the page again, by new coordinates
(github.com/QwenLM/Qwen3-VL/issues/1667).
"""

from active_perception_r1.utils.syntaxes._tool_call import (
    LABEL,
    TOOL_CALL,
    example,
    tool_call,
    zoom_tool,
)
from active_perception_r1.utils.trace_parser import Syntax, Unit

_INDEX = {"type": "number", "description": "Index of the image, from 0."}

SYNTAX = Syntax(
    "qwen3_vl",
    Unit.THOUSAND,
    example("image_zoom_in_tool"),
    TOOL_CALL,
    tool_call("image_zoom_in_tool", {"img_idx": 0}),
    tool=zoom_tool("0 to 1000 over the image", label=LABEL, img_idx=_INDEX),
)
