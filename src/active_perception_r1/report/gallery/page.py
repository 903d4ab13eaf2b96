"""The page itself: data, style and script in one file that loads nothing.

Questions, answers and what models write are hostile until shown: they are only in the JSON, from
which the script makes text nodes, and the page's policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from active_perception_r1.report.answers import Answers
from active_perception_r1.report.gallery.episodes import Data, gallery_data
from active_perception_r1.storage.files import atomic

ASSETS = files("active_perception_r1.report.gallery") / "assets"


def write_gallery(answers: Answers, limit: int, output: Path) -> None:
    """Write the gallery of a study as one HTML file; see `gallery_data`.

    Raises:
        DataError: a file cannot be read, or predictions are not those of the slice.
    """
    data = gallery_data(answers, limit)
    with atomic(output) as part:
        part.write_text(render(data), encoding="utf-8")


def render(data: Data) -> str:
    """The page of what `gallery_data` gives."""
    style, script = _asset("gallery.css"), _asset("gallery.js")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        _asset("gallery.html")
    )
    return template.render(
        study=data["study"],
        data=data,  # `tojson` escapes <, >, & and everything that is not ASCII
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
