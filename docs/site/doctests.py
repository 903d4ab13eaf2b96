"""Doctests of docstrings as blocks of code; Markdown takes their `>>>` for quotations."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

# From a prompt to the end of its paragraph.
_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(Extension):
    """For mkdocstrings, which asks it about everything that it reads."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
