"""Full instructions, for instruction-tuned models."""

from __future__ import annotations

from active_perception_r1.prompts._offer import ZoomOffer
from active_perception_r1.sim.conversation import Prompts
from active_perception_r1.utils.trace_parser import Unit

_UNITS = {
    Unit.PAGE: "Coordinates are fractions of the page from 0 to 1",
    Unit.THOUSAND: "Coordinates are integers from 0 to 1000 over the page",
    Unit.VIEW_PIXELS: "Coordinates are pixels of the first image",
    Unit.PAGE_PIXELS: (
        "Coordinates are pixels of the original page, which is {page_width} wide and {page_height}"
        " high"
    ),
}


def prompts(offer: ZoomOffer) -> Prompts:
    """Question, tool, and how to answer; later the question again, and the zooms that are left."""
    more = [
        f"You may zoom {_times(left, 'more time')}.\n" for left in range(1, offer.max_zooms + 1)
    ]
    return Prompts(
        first=f"{{question}}\n{_tool(offer)}{offer.instruction}",
        refused="A zoom was not carried out: {fault}.\n",
        later=tuple(f"Question: {{question}}\n{text}{offer.instruction}" for text in ("", *more)),
    )


def _tool(offer: ZoomOffer) -> str:
    if not offer.tool:
        return ""
    duty = (
        "You must look closer before you answer"
        if offer.require_zoom
        else "If something is too small to read, look closer before you answer"
    )
    return (
        f"{duty}: write {offer.syntax.example} and nothing else, and you are shown that region"
        f" enlarged. {_UNITS[offer.syntax.unit]}, always of the whole page: x0, y0 is the top left"
        f" corner of the region and x1, y1 the bottom right one. You may zoom at most"
        f" {_times(offer.max_zooms, 'time')}.\n"
    )


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count > 1)}"
