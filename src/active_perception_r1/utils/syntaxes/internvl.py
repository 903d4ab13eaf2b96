"""InternVL's grounding box, 0-1000 of the page."""

from __future__ import annotations

from active_perception_r1.utils.syntaxes._reading import enclosed, read_list
from active_perception_r1.utils.trace_parser import Syntax, Unit

SYNTAX = Syntax(
    "internvl",
    Unit.THOUSAND,
    "<box>[[x0, y0, x1, y1]]</box>",
    enclosed("<box>", "</box>"),
    read_list,
)
