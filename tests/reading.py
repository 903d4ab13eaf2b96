"""A reader for tests: it sees one word, as a dark rectangle, if that is tall enough."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from active_perception_r1.data.reader import Word
from active_perception_r1.geometry import Box

WORD = "9.00"
LEAST_HEIGHT = 8
"""Pixels of a view below which the word cannot be read."""


class OneWord:
    """Reads `text` where the image is dark, and counts the images; after `most`, it is killed."""

    revision = "one word, version 1"

    def __init__(self, text: str = WORD, most: int | None = None) -> None:
        self._text = text
        self._most = most
        self.images = 0

    def read(self, image: Image.Image) -> Sequence[Word]:
        if self.images == self._most:
            raise KeyboardInterrupt
        self.images += 1
        dark = ImageOps.invert(image.convert("L")).point(lambda value: 255 * (value > 100))
        found = dark.getbbox()
        if found is None or found[3] - found[1] < LEAST_HEIGHT:
            return []
        x0, y0, x1, y1 = found
        width, height = image.size
        return [Word(self._text, Box(x0 / width, y0 / height, x1 / width, y1 / height))]


def page_with(box: Box, size: tuple[int, int] = (400, 400)) -> bytes:
    """An encoded white page with a dark rectangle."""
    page = Image.new("RGB", size, "white")
    x0, y0, x1, y1 = box.as_tuple()
    corners = (x0 * size[0], y0 * size[1], x1 * size[0] - 1, y1 * size[1] - 1)
    ImageDraw.Draw(page).rectangle(corners, fill="black")
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()
