"""What the models are told. A prompt set is chosen per model in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from active_perception_r1.sim.live_reinjection import Prompts
from active_perception_r1.utils.trace_parser import Syntax, Unit

_UNITS = {
    Unit.PAGE: "Coordinates are fractions of the page from 0 to 1",
    Unit.THOUSAND: "Coordinates are integers from 0 to 1000 over the page",
    Unit.VIEW_PIXELS: "Coordinates are pixels of the first image",
    Unit.PAGE_PIXELS: "Coordinates are pixels of the original page",
}
_ANSWER = "Answer with a word or a short phrase from the page, as <answer>your answer</answer>."


@dataclass(frozen=True, slots=True)
class ZoomOffer:
    """What an episode lets the model do: nothing (`tool` false), or zoom, or only zoom first."""

    tool: bool
    require_zoom: bool
    syntax: Syntax
    max_zooms: int


def standard_prompts(offer: ZoomOffer) -> Prompts:
    """Full instructions, for instruction-tuned models."""
    more = [
        f"You may zoom {_times(left, 'more time')}.\n" for left in range(1, offer.max_zooms + 1)
    ]
    return Prompts(
        first=f"{{question}}\n{_tool(offer)}{_ANSWER}",
        refused="A zoom was not carried out: {fault}.\n",
        later=tuple(f"Question: {{question}}\n{text}{_ANSWER}" for text in ("", *more)),
    )


def terse_prompts(offer: ZoomOffer) -> Prompts:
    """One short sentence after the question, for models with a tiny vocabulary."""
    answer, zoom = "{question} Answer directly.", "{question} You may zoom."
    first = "{question} Zoom first." if offer.require_zoom else zoom if offer.tool else answer
    return Prompts(first=first, refused="", later=(answer, *[zoom] * offer.max_zooms))


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


PROMPT_SETS: Mapping[str, Callable[[ZoomOffer], Prompts]] = {
    "standard": standard_prompts,
    "terse": terse_prompts,
}
