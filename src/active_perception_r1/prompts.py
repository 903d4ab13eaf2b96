"""What the models are told. A prompt set is chosen per model in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class StandardPrompts:
    """Full instructions, for instruction-tuned models."""

    offer: ZoomOffer

    def opening(self, question: str) -> str:
        return f"{question}\n{self._tool()}{_ANSWER}"

    def observation(self, question: str, faults: Sequence[str], zooms_left: int) -> str:
        lines = [f"A zoom was not carried out: {fault}." for fault in faults]
        lines.append(f"Question: {question}")
        if zooms_left > 0:
            lines.append(f"You may zoom {zooms_left} more time{'s' * (zooms_left > 1)}.")
        lines.append(_ANSWER)
        return "\n".join(lines)

    def _tool(self) -> str:
        if not self.offer.tool:
            return ""
        syntax, count = self.offer.syntax, self.offer.max_zooms
        duty = (
            "You must look closer before you answer"
            if self.offer.require_zoom
            else ("If something is too small to read, look closer before you answer")
        )
        return (
            f"{duty}: write {syntax.example} and nothing else, and you are shown that region"
            f" enlarged. {_UNITS[syntax.unit]}, always of the whole page: x0, y0 is the top left"
            f" corner of the region and x1, y1 the bottom right one. You may zoom at most"
            f" {count} time{'s' * (count > 1)}.\n"
        )


@dataclass(frozen=True, slots=True)
class TersePrompts:
    """One short sentence after the question, for models with a tiny vocabulary."""

    offer: ZoomOffer

    def opening(self, question: str) -> str:
        if self.offer.require_zoom:
            return f"{question} Zoom first."
        return f"{question} You may zoom." if self.offer.tool else f"{question} Answer directly."

    def observation(self, question: str, faults: Sequence[str], zooms_left: int) -> str:
        return f"{question} You may zoom." if zooms_left > 0 else f"{question} Answer directly."


PROMPT_SETS: Mapping[str, Callable[[ZoomOffer], Prompts]] = {
    "standard": StandardPrompts,
    "terse": TersePrompts,
}
