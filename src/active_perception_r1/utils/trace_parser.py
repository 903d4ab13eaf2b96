"""Model text to actions: zoom calls in the syntax of the model's config entry, and the answer.

Each module of `utils/syntaxes` defines one way to write a call.

Every syntax has one fixed coordinate unit, never guessed from magnitude. Parsing takes time linear
in the length of the text, whatever the text, and never raises: a call that cannot be understood is
an `Action` with a fault and a reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from active_perception_r1.geometry import WHOLE_PAGE, Box
from active_perception_r1.records import Action, ToolStatus
from active_perception_r1.registry import Registry

MAX_CALL_CHARS = 2048  # A longer call is malformed; bounds the work (and nesting) of one call.
MAX_RAW_CHARS = 256  # How much of a call is kept in the record.


class Unit(Enum):
    """What the numbers of a call mean."""

    PAGE = "0-1 of the page"
    THOUSAND = "0-1000 of the page"
    VIEW_PIXELS = "pixels of the image as the model was first shown it"
    PAGE_PIXELS = "pixels of the original page"


@dataclass(frozen=True, slots=True)
class Frame:
    """The two sizes (width, height) in pixels that pixel units refer to."""

    page_size: tuple[int, int]
    view_size: tuple[int, int]

    def scale(self, unit: Unit) -> tuple[float, float]:
        """How many units make one page width and one page height."""
        match unit:
            case Unit.PAGE:
                return 1.0, 1.0
            case Unit.THOUSAND:
                return 1000.0, 1000.0
            case Unit.VIEW_PIXELS:
                return float(self.view_size[0]), float(self.view_size[1])
            case Unit.PAGE_PIXELS:
                return float(self.page_size[0]), float(self.page_size[1])


class MalformedError(Exception):
    """The call does not follow its syntax; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A zoom tool as a function that a chat template declares.

    Attributes:
        parameters: name to JSON schema; the first is the box.
        required: parameters that a call must have.
    """

    name: str
    description: str
    parameters: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...]

    def schema(self) -> dict[str, Any]:
        """As `tools=` of chat templates and servers takes it."""
        parameters = {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in self.parameters.items()},
            "required": list(self.required),
        }
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": parameters,
        }
        return {"type": "function", "function": function}


def _page(body: str) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Syntax:
    """One way to write a zoom call.

    Attributes:
        unit: of the four coordinates.
        example: a valid call, for prompts; its numbers are placeholders to format with a box.
        pattern: finds calls; group `body` holds what `read` takes, group `end` is empty when the
            call is not closed. Must be linear: no overlap of what two repeats may match.
        read: body to the four raw coordinates x0 y0 x1 y1.
        observation: body to which image is zoomed into: 0 is the page, i the i-th crop shown, whose
            corners the coordinates then count from.
        tool: for native prompts, the function that a call calls; None for a syntax that is no
            function call.
    """

    name: str
    unit: Unit
    example: str
    pattern: re.Pattern[str]
    read: Callable[[str], tuple[float, float, float, float]]
    observation: Callable[[str], int] = _page
    tool: Tool | None = None


def parse_actions(
    text: str, syntax: Syntax, frame: Frame, crops: Sequence[Box] = ()
) -> tuple[Action, ...]:
    """All zoom calls in `text`, wherever they stand, in the order written.

    Args:
        crops: what the crops shown so far show of the page, for syntaxes that zoom into them.

    >>> frame = Frame(page_size=(800, 1000), view_size=(80, 100))
    >>> call = '<think>small</think> <zoom_roi x0="0.1" y0=0.2 x1="0.5" y1="0.6"/>'
    >>> parse_actions(call, SYNTAXES["zoom_roi"], frame)[0].box
    Box(x0=0.1, y0=0.2, x1=0.5, y1=0.6)
    """
    return tuple(_action(match, syntax, frame, crops) for match in syntax.pattern.finditer(text))


def parse_answer(text: str) -> str | None:
    """The content of the last complete `<answer>..</answer>`, stripped; None if there is none.

    >>> parse_answer("<answer>41</answer> no, <answer> 42 </answer> done </answer>")
    '42'
    """
    last_end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, last_end) if last_end >= 0 else -1
    if start < 0:
        return None
    end = text.index("</answer>", start)  # The last one may close nothing.
    return text[start + len("<answer>") : end].strip() or None


def _action(match: re.Match[str], syntax: Syntax, frame: Frame, crops: Sequence[Box]) -> Action:
    raw = match.group()[:MAX_RAW_CHARS]

    def fault(status: ToolStatus, reason: str) -> Action:
        return Action(syntax.name, raw, None, status, reason)

    if not match["end"]:
        return fault(ToolStatus.MALFORMED_ZOOM, "the call is not closed")
    if len(match["body"]) > MAX_CALL_CHARS:
        return fault(ToolStatus.MALFORMED_ZOOM, "the call is too long")
    try:
        numbers = syntax.read(match["body"])
        shown = (WHOLE_PAGE, *crops)
        if (number := syntax.observation(match["body"])) >= len(shown):
            raise MalformedError(f"there is no observation_{number} to zoom into")
    except MalformedError as error:
        return fault(ToolStatus.MALFORMED_ZOOM, str(error))
    width, height = frame.scale(syntax.unit)
    x0, y0, x1, y1 = (v / s for v, s in zip(numbers, (width, height) * 2, strict=True))
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        return fault(ToolStatus.INVALID_BBOX, "a coordinate is not a finite number")
    if x0 >= x1 or y0 >= y1:
        return fault(ToolStatus.INVALID_BBOX, "the box is reversed or has no area")
    return Action(syntax.name, raw, Box(x0, y0, x1, y1).inside(shown[number]))


SYNTAXES: Registry[Syntax] = Registry("active_perception_r1.utils.syntaxes", "SYNTAX")
