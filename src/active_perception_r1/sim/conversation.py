"""What a model is told, and in which role: the environment's side of the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from active_perception_r1.sim.messages import Message, Part


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts of one side, with gaps `{question}`, `{fault}`, `{page_width}`, `{page_height}`.

    They hold every character that a model is told, so that what an episode depends on can be
    compared as data (`modes.decisive_rules`).

    Attributes:
        first: under the first image.
        refused: for each call that gave no crop; `{fault}` is why.
        later: under the crops that a turn produced, by the number of zooms left, from 0.
        system: opens the conversation; empty for no system message.
        tools: JSON schemas of the functions that the chat template declares.
        role: whose message a crop comes in: the user's, all of a turn's crops and faults in one; or
            the tool's, one message for each call.
        around: text before and after what a message of the environment shows.
    """

    first: str
    refused: str
    later: tuple[str, ...]
    system: str = ""
    tools: tuple[str, ...] = ()
    role: Literal["user", "tool"] = "user"
    around: tuple[str, str] = ("", "")

    def opening(
        self, views: Sequence[Image.Image], question: str, page_size: tuple[int, int]
    ) -> list[Message]:
        """The messages up to the model's first reply.

        Args:
            views: shown one after the other, before the question.
            page_size: in pixels.
        """
        width, height = map(str, page_size)
        first = self.first.replace("{page_width}", width).replace("{page_height}", height)
        asked = Message("user", (*views, first.replace("{question}", question)))
        if not self.system and not self.tools:
            return [asked]
        return [Message("system", (self.system,) if self.system else (), self.tools), asked]

    def observations(
        self, outcomes: Sequence[Image.Image | str | None], question: str, zooms_left: int
    ) -> list[Message]:
        """The messages after a turn's calls.

        Args:
            outcomes: of each call, the crop to be shown, or why there is none; None for a call that
                was accepted and shows nothing.
            zooms_left: may be negative: a mode may let a model ask in vain.
        """
        last = self.later[max(0, zooms_left)].replace("{question}", question)
        if self.role == "tool":
            shown = [[self._told(outcome)] for outcome in outcomes]
            shown[-1].append(last)
        else:
            crops = [outcome for outcome in outcomes if isinstance(outcome, Image.Image)]
            faults = [self._fault(outcome) for outcome in outcomes if isinstance(outcome, str)]
            shown = [[*crops, "".join(faults) + last]]
        before, after = self.around
        return [
            Message(self.role, tuple(part for part in (before, *parts, after) if part != ""))
            for parts in shown
        ]

    def _told(self, outcome: Image.Image | str | None) -> Part:
        return self._fault(outcome) if isinstance(outcome, str) else outcome or ""

    def _fault(self, reason: str) -> str:
        return self.refused.replace("{fault}", reason)
