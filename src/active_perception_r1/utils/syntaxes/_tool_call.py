"""Calls as Qwen and its descendants write them: JSON between `<tool_call>` tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from active_perception_r1.utils.syntaxes._reading import Corners, enclosed, json_box, json_object
from active_perception_r1.utils.trace_parser import MalformedError, Tool

TOOL_CALL = enclosed("<tool_call>", "</tool_call>")
_EXAMPLE = (
    '<tool_call>{{"name": "{name}", "arguments": {{"bbox_2d": [x0, y0, x1, y1]}}}}</tool_call>'
)


def example(name: str) -> str:
    """A call of the tool `name`, for prompts."""
    return _EXAMPLE.format(name=name)


def zoom_tool(
    coordinates: str, name: str = "image_zoom_in_tool", **others: Mapping[str, Any]
) -> Tool:
    """The function behind a call, by the names that the models of a family know.

    Args:
        coordinates: what the four numbers are, for the description.
        others: further parameters, all required.
    """
    box = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": f"The region as [x0, y0, x1, y1], top left and bottom right: {coordinates}.",
    }
    return Tool(
        name,
        "Shows a region of the image enlarged.",
        {"bbox_2d": box, **others},
        ("bbox_2d", *others),
    )


LABEL = {"type": "string", "description": "What is looked for in the region."}


def tool_call(name: str, page_index: Mapping[str, int] | None = None) -> Callable[[str], Corners]:
    """Reader of `{"name": name, "arguments": {"bbox_2d": [..], ..}}`.

    `page_index` maps the argument that selects an image to the value that means the page: zooming
    is always into the page, so that coordinates mean one thing.
    """

    def read(body: str) -> Corners:
        call = json_object(body)
        if call.get("name") != name:
            raise MalformedError(f"unknown tool; the only tool is {name}")
        arguments = call.get("arguments")
        if not isinstance(arguments, dict):
            raise MalformedError("arguments is not a JSON object")
        require_page(arguments, page_index or {})
        return json_box(arguments.get("bbox_2d"))

    return read


def require_page(arguments: Mapping[str, Any], page_index: Mapping[str, int]) -> None:
    """Raises `MalformedError` where an argument selects another image; numbers may be texts."""
    for key, page in page_index.items():
        given = arguments.get(key, page)
        if (given.strip() if isinstance(given, str) else given) not in (page, str(page)):
            raise MalformedError(f"only the page can be zoomed into ({key} = {page})")
