"""Model text to actions: zoom calls in the syntax of the model's config entry, and the answer.

Every syntax has one fixed coordinate unit, never guessed from magnitude. Parsing takes time linear
in the length of the text, whatever the text, and never raises: a call that cannot be understood is
an `Action` with a fault and a reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from active_perception_r1.geometry import Box
from active_perception_r1.records import Action, ToolStatus

MAX_CALL_CHARS = 2048  # A longer call is malformed; bounds the work (and nesting) of one call.
MAX_RAW_CHARS = 256  # How much of a call is kept in the record.

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'/]+))",
    re.ASCII,
)


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


class _MalformedError(Exception):
    """The call does not follow its syntax; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """One way to write a zoom call.

    Attributes:
        unit: of the four coordinates.
        example: a valid call, for prompts; its numbers are placeholders to format with a box.
        pattern: finds calls; group `body` holds what `read` takes, group `end` is empty when the
            call is not closed. Must be linear: no overlap of what two repeats may match.
        read: body to the four raw coordinates x0 y0 x1 y1.
    """

    name: str
    unit: Unit
    example: str
    pattern: re.Pattern[str]
    read: Callable[[str], tuple[float, float, float, float]]


def parse_actions(text: str, syntax: Syntax, frame: Frame) -> tuple[Action, ...]:
    """All zoom calls in `text`, wherever they stand, in the order written.

    >>> frame = Frame(page_size=(800, 1000), view_size=(80, 100))
    >>> call = '<think>small</think> <zoom_roi x0="0.1" y0=0.2 x1="0.5" y1="0.6"/>'
    >>> parse_actions(call, SYNTAXES["zoom_roi"], frame)[0].box
    Box(x0=0.1, y0=0.2, x1=0.5, y1=0.6)
    """
    return tuple(_action(match, syntax, frame) for match in syntax.pattern.finditer(text))


def parse_answer(text: str) -> str | None:
    """The content of the last complete `<answer>..</answer>`, stripped; None if there is none.

    >>> parse_answer("<answer>41</answer> no, <answer> 42 </answer>")
    '42'
    """
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    if start < 0:
        return None
    return text[start + len("<answer>") : end].strip() or None


def _action(match: re.Match[str], syntax: Syntax, frame: Frame) -> Action:
    raw = match.group()[:MAX_RAW_CHARS]

    def fault(status: ToolStatus, reason: str) -> Action:
        return Action(syntax.name, raw, None, status, reason)

    if not match["end"]:
        return fault(ToolStatus.MALFORMED_ZOOM, "the call is not closed")
    if len(match["body"]) > MAX_CALL_CHARS:
        return fault(ToolStatus.MALFORMED_ZOOM, "the call is too long")
    try:
        numbers = syntax.read(match["body"])
    except _MalformedError as error:
        return fault(ToolStatus.MALFORMED_ZOOM, str(error))
    width, height = frame.scale(syntax.unit)
    x0, y0, x1, y1 = (v / s for v, s in zip(numbers, (width, height) * 2, strict=True))
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        return fault(ToolStatus.INVALID_BBOX, "a coordinate is not a finite number")
    if x0 >= x1 or y0 >= y1:
        return fault(ToolStatus.INVALID_BBOX, "the box is reversed or has no area")
    return Action(syntax.name, raw, Box(x0, y0, x1, y1))


def _number(text: str) -> float:
    """An ASCII decimal number; infinities and NaN pass, since they are a fault of the box."""
    text = text.strip(" \t\r\n")
    if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(text)
    raise _MalformedError(f"not a number: {text[:32]!r}")


def _read_attributes(body: str) -> tuple[float, float, float, float]:
    """`x0=".." y0=".." x1=".." y1=".."` or `x=".." y=".." w=".." h=".."`, quoted or not."""
    values: dict[str, str] = {}
    for name, value in _attributes(body):
        if name in values:
            raise _MalformedError(f"{name} is given twice")
        values[name] = value
    corners = [key for key in ("x0", "y0", "x1", "y1") if key in values]
    spans = [key for key in ("x", "y", "w", "h") if key in values]
    if corners and spans:
        raise _MalformedError("x0 y0 x1 y1 and x y w h are mixed")
    wanted = ("x", "y", "w", "h") if spans else ("x0", "y0", "x1", "y1")
    if missing := [key for key in wanted if key not in values]:
        raise _MalformedError(f"missing {' '.join(missing)}")
    a, b, c, d = (_number(values[key]) for key in wanted)
    return (a, b, a + c, b + d) if spans else (a, b, c, d)


def _attributes(body: str) -> Iterator[tuple[str, str]]:
    body = body.rstrip().removesuffix("/").rstrip()
    position = 0
    while position < len(body):
        match = _ATTRIBUTE.match(body, position)
        if match is None:
            raise _MalformedError(f"cannot read {body[position : position + 32].strip()!r}")
        yield match["name"], match["double"] or match["single"] or match["bare"] or ""
        position = match.end()


def _json_object(body: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _MalformedError("the call is not valid JSON") from None
    if not isinstance(value, dict):
        raise _MalformedError("the call is not a JSON object")
    return value


def _json_box(value: object) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise _MalformedError("the box is not a list of four numbers")
    numbers = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise _MalformedError("the box is not a list of four numbers")
        try:
            numbers.append(float(item))
        except OverflowError:
            numbers.append(math.inf)
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _tool_call(
    name: str, page_index: Mapping[str, int] | None = None
) -> Callable[[str], tuple[float, float, float, float]]:
    """Reader of `{"name": name, "arguments": {"bbox_2d": [..], ..}}`.

    `page_index` maps the argument that selects an image to the value that means the page: zooming
    is always into the page, so that coordinates mean one thing.
    """

    def read(body: str) -> tuple[float, float, float, float]:
        call = _json_object(body)
        if call.get("name") != name:
            raise _MalformedError(f"unknown tool; the only tool is {name}")
        arguments = call.get("arguments")
        if not isinstance(arguments, dict):
            raise _MalformedError("arguments is not a JSON object")
        for key, page in (page_index or {}).items():
            if arguments.get(key, page) != page:
                raise _MalformedError(f"only the page can be zoomed into ({key} = {page})")
        return _json_box(arguments.get("bbox_2d"))

    return read


def _read_grounding(body: str) -> tuple[float, float, float, float]:
    call = _json_object(body)
    if call.get("source", "original_image") != "original_image":
        raise _MalformedError('only the page can be zoomed into ("source": "original_image")')
    return _json_box(call.get("bbox_2d"))


_GLM_ARGUMENT = re.compile(
    r"\s*<arg_key>\s*(?P<key>\w+)\s*</arg_key>\s*<arg_value>(?P<value>[^<]*)</arg_value>\s*"
)


def _read_glm(body: str) -> tuple[float, float, float, float]:
    name, _, rest = body.partition("<arg_key>")
    if name.strip() != "image_zoom_in_tool":
        raise _MalformedError("unknown tool; the only tool is image_zoom_in_tool")
    rest, position, box = "<arg_key>" + rest, 0, None
    while position < len(rest):
        match = _GLM_ARGUMENT.match(rest, position)
        if match is None:
            raise _MalformedError("arguments are not pairs of arg_key and arg_value")
        if match["key"] == "bbox_2d":
            box = match["value"]
        position = match.end()
    if box is None:
        raise _MalformedError("missing bbox_2d")
    return _read_list(box)


def _read_list(body: str) -> tuple[float, float, float, float]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _MalformedError("the box is not a list of four numbers") from None
    if isinstance(value, list) and len(value) == 1:  # InternVL writes a list of boxes
        value = value[0]
    return _json_box(value)


def _enclosed(opening: str, closing: str) -> re.Pattern[str]:
    """A call between two tags; an unclosed one ends where the next call opens or the text ends."""
    return re.compile(
        rf"{re.escape(opening)}(?P<body>.*?)"
        rf"(?:(?P<end>{re.escape(closing)})|(?={re.escape(opening)})|\Z)",
        re.DOTALL,
    )


_TOOL_CALL = _enclosed("<tool_call>", "</tool_call>")
_TOOL_CALL_EXAMPLE = (
    '<tool_call>{{"name": "{name}", "arguments": {{"bbox_2d": [x0, y0, x1, y1]}}}}</tool_call>'
)

SYNTAXES: Mapping[str, Syntax] = {
    syntax.name: syntax
    for syntax in (
        Syntax(
            "zoom_roi",
            Unit.PAGE,
            '<zoom_roi x0=".." y0=".." x1=".." y1=".."/>',
            re.compile(r"<zoom_roi(?![\w-])(?P<body>[^<>]*)(?P<end>>?)"),
            _read_attributes,
        ),
        Syntax(
            "qwen2_5_vl",
            Unit.VIEW_PIXELS,
            _TOOL_CALL_EXAMPLE.format(name="image_zoom_in_tool"),
            _TOOL_CALL,
            _tool_call("image_zoom_in_tool"),
        ),
        Syntax(
            "qwen3_vl",
            Unit.THOUSAND,
            _TOOL_CALL_EXAMPLE.format(name="image_zoom_in_tool"),
            _TOOL_CALL,
            _tool_call("image_zoom_in_tool", {"img_idx": 0}),
        ),
        Syntax(
            "deepeyes",
            Unit.PAGE_PIXELS,
            _TOOL_CALL_EXAMPLE.format(name="image_zoom_in_tool"),
            _TOOL_CALL,
            _tool_call("image_zoom_in_tool"),
        ),
        Syntax(
            "pixel_reasoner",
            Unit.PAGE,
            _TOOL_CALL_EXAMPLE.format(name="crop_image_normalized"),
            _TOOL_CALL,
            _tool_call("crop_image_normalized", {"target_image": 1}),
        ),
        Syntax(
            "mini_o3",
            Unit.PAGE,
            '<grounding>{"bbox_2d": [x0, y0, x1, y1], "source": "original_image"}</grounding>',
            _enclosed("<grounding>", "</grounding>"),
            _read_grounding,
        ),
        Syntax(
            "glm",
            Unit.THOUSAND,
            "<tool_call>image_zoom_in_tool<arg_key>bbox_2d</arg_key>"
            "<arg_value>[x0, y0, x1, y1]</arg_value></tool_call>",
            _TOOL_CALL,
            _read_glm,
        ),
        Syntax(
            "internvl",
            Unit.THOUSAND,
            "<box>[[x0, y0, x1, y1]]</box>",
            _enclosed("<box>", "</box>"),
            _read_list,
        ),
    )
}
