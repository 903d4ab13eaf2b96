"""Calls of functions that a server passes on apart from the words: as text, and taken out of it.

An episode reads its zooms from text, whoever wrote it. So a call becomes the text that models
trained on JSON calls write, and is taken out again where the conversation goes back to the server.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from active_perception_r1.utils.trace_parser import Frame, Syntax, parse_actions

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call; `arguments` is JSON, or whatever else the model gave for it."""

    name: str
    arguments: str

    def text(self) -> str:
        """
        >>> FunctionCall("zoom", '{"bbox_2d": [0, 0, 1, 1]}').text()
        '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [0, 0, 1, 1]}}</tool_call>'
        """
        name = json.dumps(self.name, ensure_ascii=False)
        return f'<tool_call>{{"name": {name}, "arguments": {self.arguments}}}</tool_call>'


def taken_apart(text: str) -> tuple[str, list[FunctionCall]]:
    """The words of a reply, and its calls; one that is no JSON has what it is as its argument.

    >>> taken_apart('Closer.<tool_call>{"name": "zoom", "arguments": {"x": 1}}</tool_call>')
    ('Closer.', [FunctionCall(name='zoom', arguments='{"x": 1}')])
    """
    calls = [_read(match.group(1)) for match in _CALL.finditer(text)]
    return _CALL.sub("", text).strip(), calls


def reads_functions(syntax: Syntax) -> bool:
    """Whether a syntax understands what `FunctionCall.text` writes."""
    if syntax.tool is None:
        return False
    box = {next(iter(syntax.tool.parameters)): [0, 0, 1, 1]}
    call = FunctionCall(syntax.tool.name, json.dumps(box)).text()
    return any(action.box for action in parse_actions(call, syntax, Frame((1, 1), (1, 1))))


def _read(body: str) -> FunctionCall:
    try:
        call = json.loads(body)
        arguments = call["arguments"]
        if isinstance(call["name"], str) and isinstance(arguments, dict):
            return FunctionCall(call["name"], json.dumps(arguments, ensure_ascii=False))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    # Servers take nothing but an object for an argument.
    return FunctionCall("unknown", json.dumps({"text": body}, ensure_ascii=False))
