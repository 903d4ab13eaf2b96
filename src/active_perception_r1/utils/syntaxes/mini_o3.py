"""Mini-o3's `<grounding>`, 0-1 of the page."""

from __future__ import annotations

import re

from active_perception_r1.utils.syntaxes._reading import Corners, enclosed, json_box, json_object
from active_perception_r1.utils.trace_parser import MalformedError, Syntax, Unit

_OBSERVATION = re.compile(r"observation_(\d{1,3})", re.ASCII)


def _read_grounding(body: str) -> Corners:
    return json_box(json_object(body).get("bbox_2d"))


def _observation(body: str) -> int:
    """`observation_0` is the original image, as in Mini-o3's own code (function_tools.py)."""
    source = json_object(body).get("source", "original_image")
    if source == "original_image":
        return 0
    match = _OBSERVATION.fullmatch(str(source))
    if match is None:
        raise MalformedError("source is neither original_image nor observation_i")
    return int(match[1])


SYNTAX = Syntax(
    "mini_o3",
    Unit.PAGE,
    '<grounding>{"bbox_2d": [x0, y0, x1, y1], "source": "original_image"}</grounding>',
    enclosed("<grounding>", "</grounding>"),
    _read_grounding,
    _observation,
)
