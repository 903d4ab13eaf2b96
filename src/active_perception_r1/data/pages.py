"""The size of an encoded page as it is displayed, without decoding it where that is enough."""

from __future__ import annotations

import io
import warnings

from PIL import ExifTags, Image

from active_perception_r1.data.boxes import Size
from active_perception_r1.envs.zoom_simulator import MAX_PAGE_PIXELS, open_page

_SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that exchange width and height
_MAY_TURN_A_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")


def size_by_head(encoded: bytes) -> Size | None:
    """Width and height that the head of an image states; None if that is broken."""
    try:
        with _opened(encoded) as image:
            return _displayed(image, encoded)
    except Exception:  # Pillow's plugins raise whatever they like; slices say what is wrong
        return None


def checked_size(encoded: bytes) -> Size:
    """Width and height of a page, if `open_page` can open it.

    The page is decoded only as far as is needed to know that it can be. A PNG has a checksum over
    each of its parts: where all are right and none is missing, it is as its encoder wrote it. (That
    the encoder itself erred, only decoding tells, by whoever does it first.) A JPEG has none, but
    all of its data is read to decode it at an eighth of its size. What does not pass, and every
    other format, is decoded in full: nothing is refused without that.

    Raises:
        DataError: as `open_page`.
    """
    return _size_if_sound(encoded) or open_page(encoded).size


def _size_if_sound(encoded: bytes) -> Size | None:
    """None if the page must be decoded to know."""
    try:
        with _opened(encoded) as image:
            size = _displayed(image, encoded)
            if image.width * image.height > MAX_PAGE_PIXELS:
                return None
            if image.format == "PNG":
                image.verify()
            elif image.format == "JPEG":
                image.draft("L", (1, 1))
                image.load()
            else:
                return None
            return size
    except Exception:  # `open_page` says what is wrong, if anything is
        return None


def _opened(encoded: bytes) -> Image.Image:
    with warnings.catch_warnings(action="ignore"):  # of large images, which are not decoded here
        return Image.open(io.BytesIO(encoded))


def _displayed(image: Image.Image, encoded: bytes) -> Size:
    # Pillow would decode a PNG to see whether anything behind the pixels turns it.
    if image.format == "PNG" and not any(mark in encoded for mark in _MAY_TURN_A_PNG):
        return image.size
    sideways = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    return (image.height, image.width) if sideways else image.size
