"""Mini-o3's `<grounding>`, 0-1 of the page."""

from __future__ import annotations

from active_perception_r1.utils.syntaxes._reading import Corners, enclosed, json_box, json_object
from active_perception_r1.utils.trace_parser import MalformedError, Syntax, Unit


def _read_grounding(body: str) -> Corners:
    call = json_object(body)
    if call.get("source", "original_image") != "original_image":
        raise MalformedError('only the page can be zoomed into ("source": "original_image")')
    return json_box(call.get("bbox_2d"))


SYNTAX = Syntax(
    "mini_o3",
    Unit.PAGE,
    '<grounding>{"bbox_2d": [x0, y0, x1, y1], "source": "original_image"}</grounding>',
    enclosed("<grounding>", "</grounding>"),
    _read_grounding,
)
