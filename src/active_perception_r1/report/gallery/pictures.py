"""Pictures beside a gallery: each in a file of its own, which is named after what is in it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from active_perception_r1.envs.encoded_page import has_exif, open_page
from active_perception_r1.report.gallery.names import FOLDER, name_of

PAGE_PIXELS = 4_000_000
"""Of a page that is kept as it came, if browsers can show it: more takes much memory there."""
LOSSLESS_PIXELS = 65_536
"""Of a view that is kept to the last bit; larger ones are JPEGs, which nobody tells from them."""
_QUALITY = 90
_SHOWN_AS_THEY_ARE = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}

Picture = tuple[str, int, int]
"""Name of a file in `FOLDER`, and the size in pixels at which it was shown."""


class Pictures:
    """The pictures of one gallery.

    Args:
        folder: of the gallery.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._views: dict[bytes, str] = {}

    def add_page(self, encoded: bytes) -> str:
        """The name of a page's file; of a page that no browser shows, or a very large one, a copy.

        Raises:
            DataError: the page cannot be opened.
        """
        page = open_page(encoded)
        if suffix := self._as_it_is(encoded):
            return self._write(encoded, suffix)
        shown = page.copy()
        side = max(page.size) * (PAGE_PIXELS / (page.width * page.height)) ** 0.5
        shown.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return self._write(_encoded(shown, "JPEG"), "jpg")

    def add_view(self, image: Image.Image) -> Picture:
        """What a model was shown, at the pixels that it was shown."""
        key = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
        if key not in self._views:
            small = image.width * image.height <= LOSSLESS_PIXELS
            kind, suffix = ("PNG", "png") if small else ("JPEG", "jpg")
            self._views[key] = self._write(_encoded(image, kind), suffix)
        return self._views[key], image.width, image.height

    @staticmethod
    def _as_it_is(encoded: bytes) -> str:
        """The suffix of a page that browsers show as `open_page` does; empty if they may not."""
        with Image.open(io.BytesIO(encoded)) as image:
            plain = image.mode in ("RGB", "L", "1") and "transparency" not in image.info
            upright = not has_exif(image, encoded)
            if plain and upright and image.width * image.height <= PAGE_PIXELS:
                return _SHOWN_AS_THEY_ARE.get(image.format or "", "")
        return ""

    def _write(self, content: bytes, suffix: str) -> str:
        name = name_of(content, suffix)
        path = self._folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return name


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    options = {"compress_level": 1} if kind == "PNG" else {"quality": _QUALITY, "subsampling": 0}
    image.save(file, kind, **options)
    return file.getvalue()
