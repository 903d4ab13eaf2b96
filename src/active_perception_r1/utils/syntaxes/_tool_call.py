"""Calls as Qwen and its descendants write them: JSON between `<tool_call>` tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from active_perception_r1.utils.syntaxes._reading import Corners, enclosed, json_box, json_object
from active_perception_r1.utils.trace_parser import MalformedError

TOOL_CALL = enclosed("<tool_call>", "</tool_call>")
_EXAMPLE = (
    '<tool_call>{{"name": "{name}", "arguments": {{"bbox_2d": [x0, y0, x1, y1]}}}}</tool_call>'
)


def example(name: str) -> str:
    """A call of the tool `name`, for prompts."""
    return _EXAMPLE.format(name=name)


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
        for key, page in (page_index or {}).items():
            if arguments.get(key, page) != page:
                raise MalformedError(f"only the page can be zoomed into ({key} = {page})")
        return json_box(arguments.get("bbox_2d"))

    return read
