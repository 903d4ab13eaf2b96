"""What a figure says."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree


def texts(svg: Path) -> set[str]:
    """The texts of a figure, which are text in it."""
    nodes = ElementTree.parse(svg).getroot().iter("{http://www.w3.org/2000/svg}text")
    return {"".join(node.itertext()).strip() for node in nodes}
