"""Pictures small enough to carry a thousand of them in one page, each of them once."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

from PIL import Image

PAGE_SIDE = 560  # pixels; legible at the size of a column
VIEW_SIDE = 224
QUALITY = 50


class Pictures:
    """WebP pictures as data URIs; equal ones get the same index.

    Attributes:
        encoded: for each index the URI and the size, in pixels, before it was made small.
    """

    def __init__(self) -> None:
        self.encoded: list[dict[str, Any]] = []
        self._known: dict[tuple[int, tuple[int, int], bytes], int] = {}

    def add_page(self, image: Image.Image) -> int:
        return self._add(image, PAGE_SIDE)

    def add_view(self, image: Image.Image) -> int:
        """A picture as a model saw it; made small only if it is larger than VIEW_SIDE."""
        return self._add(image, VIEW_SIDE)

    def _add(self, image: Image.Image, side: int) -> int:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        key = side, image.size, hashlib.sha256(small.tobytes()).digest()
        if key not in self._known:
            self._known[key] = len(self.encoded)
            self.encoded.append({"uri": _data_uri(small), "size": list(image.size)})
        return self._known[key]


def _data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
