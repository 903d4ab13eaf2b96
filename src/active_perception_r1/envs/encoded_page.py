"""How an encoded page is read: decided here alone, so that what a slice accepts is what models see.

- A page is one image. A file of several pages or frames (TIFF, GIF, WebP, APNG, AVIF) is refused:
  which of them a question is about, nobody can tell. What shows the same page once more does not
  count: previews and masks of a TIFF, further pictures of an MPO, layers of a PSD.
- It is turned as its EXIF, or else its XMP, says, where that can be read. Nothing else there is
  looked at, so that a damaged tag which nobody needs costs nothing.
- What is transparent shows white. A colour key (`tRNS` of a PNG) is compared at the depth of the
  file (PNG specification, third edition, 11.3.1.1).
- Greys of 16 bits are shown by their upper 8; those of 32 bits and floats by their own range.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count, islice
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from active_perception_r1.errors import DataError

MAX_PAGE_PIXELS = 89_000_000  # A3 at 600 dpi has 70 million; Pillow warns of bombs from 89.4 on.

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}  # orientations that exchange width and height
_MAY_TURN_A_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_FRAMES_OF_ONE_PAGE = {"MPO", "PSD"}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_EXIF_ENTRIES = re.compile(rb"(II\*\0\x08\0{3}|MM\0\*\0{3}\x08)..", re.DOTALL)

_OPENING = tuple(Lock() for _ in range(16))


def open_page(encoded: bytes) -> Image.Image:
    """Decode a page to RGB as it is displayed; not to be changed by the caller.

    Raises:
        DataError: not an image, a damaged one, several, or one of more than MAX_PAGE_PIXELS.
    """
    with _OPENING[hash(encoded) % len(_OPENING)]:  # no page twice at the same time
        return _decoded(encoded)


def size_by_head(encoded: bytes) -> tuple[int, int] | None:
    """Width and height of the displayed page, without decoding it where that is enough.

    None if `open_page` refuses it for what its head says; its pixels may be damaged all the same.
    """
    try:
        with _page(encoded) as image:
            return _displayed_size(image, encoded)
    except DataError:
        return None


def checked_size(encoded: bytes) -> tuple[int, int]:
    """Width and height of the displayed page, if `open_page` can open it.

    The page is decoded only as far as is needed to know that it can be. A PNG has a checksum over
    each of its parts: where all are right and none is missing, it is as its encoder wrote it. (That
    the encoder itself erred, only decoding tells, by whoever does it first.) A JPEG has none, but
    all of its data is read to decode it at an eighth of its size. What does not pass, and every
    other format, is decoded in full: nothing is refused without that.

    Raises:
        DataError: as `open_page`.
    """
    return _size_if_sound(encoded) or open_page(encoded).size


def has_exif(image: Image.Image, encoded: bytes) -> bool:
    """Whether there is anything in the EXIF of an opened page; the page is not decoded for it."""
    return _may_be_turned(image, encoded) and bool(image.getexif())


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB: transparency over white, deep greys scaled to 8 bits."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        greys = _to_8_bits(values)
        if "transparency" in image.info:
            greys[values == image.info["transparency"]] = 255
        return Image.fromarray(greys).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


@lru_cache(maxsize=4)  # consecutive episodes share a page: samples of a group, distractors
def _decoded(encoded: bytes) -> Image.Image:
    with _page(encoded) as image:
        match image.format:
            case "TIFF":
                page = _decoded_tiff(image)
            case "PNG":
                page = _turned(_decoded_png(image, encoded), _orientation(image))
            case _:
                image.load()
                page = _turned(to_rgb(image), _orientation(image))
        page.info.clear()  # or a model's processor would turn the page once more, by its EXIF
        return page


def _size_if_sound(encoded: bytes) -> tuple[int, int] | None:
    """None if the page must be decoded to know."""
    try:
        with _page(encoded) as image:
            size = _displayed_size(image, encoded)
            if image.format == "PNG":
                image.verify()
            elif image.format == "JPEG":
                image.draft("L", (1, 1))
                image.load()
            else:
                return None
            return size
    except DataError:  # `open_page` says what is wrong, if anything is
        return None


@contextmanager
def _page(encoded: bytes) -> Iterator[ImageFile.ImageFile]:
    """The one page in a file, not decoded yet.

    Raises:
        DataError: there is none, or not one; also for whatever Pillow raises inside the block.
    """
    try:
        with _opened(encoded) as image:
            _go_to_the_page(image, encoded)
            if image.width * image.height > MAX_PAGE_PIXELS:
                raise DataError(
                    f"image of {image.width} x {image.height} pixels is larger than the limit of"
                    f" {MAX_PAGE_PIXELS} pixels"
                )
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:  # its text holds an address, another one in every process
        raise DataError("image cannot be decoded: it is of no known format") from None
    except (Image.DecompressionBombError, OSError) as error:
        raise DataError(f"image cannot be decoded: {error}") from None
    except Exception as error:  # Pillow's plugins raise SyntaxError, struct.error, ... on bad files
        raise DataError(f"image cannot be decoded: {type(error).__name__}: {error}") from None


def _opened(encoded: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(encoded))
    except Exception:
        # Pillow writes all tags of an AVIF anew in order to open it, and may stumble over one.
        # The orientation is safe: an AVIF has it outside of EXIF.
        if encoded[4:8] != b"ftyp":
            raise
        return Image.open(io.BytesIO(_EXIF_ENTRIES.sub(rb"\1\0\0", encoded)))


def _go_to_the_page(image: ImageFile.ImageFile, encoded: bytes) -> None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pages = list(islice(_tiff_pages(encoded), 2))
        several = len(pages) > 1
        image.seek(pages[0] if pages else 0)
    else:
        frames = 1 if image.format in _FRAMES_OF_ONE_PAGE else getattr(image, "n_frames", 1)
        several = frames > 1
    if several:
        raise DataError(
            "image holds several pages or frames, and a question is about one; give each page a row"
            " of its own"
        )


def _tiff_pages(encoded: bytes) -> Iterator[int]:
    """Indices of the frames of a TIFF that are no previews and no masks of another one."""
    with Image.open(io.BytesIO(encoded)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        for frame in count():
            try:
                image.seek(frame)
                kind = int(image.tag_v2.get(ExifTags.Base.NewSubfileType, 0))
                old_kind = int(image.tag_v2.get(ExifTags.Base.SubfileType, 1))
            except Exception:  # the end of the file, or damage: no page, in any case
                return
            if not kind & 0b101 and old_kind != 2:  # TIFF 6.0, pages 36 and 40
                yield frame


def _orientation(image: ImageFile.ImageFile) -> int:
    """That of EXIF, or else of XMP, 1 to 8; 1 where it cannot be read."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
        if found is None and (in_xmp := _XMP_ORIENTATION.search(image.info.get("xmp", b""))):
            found = int(in_xmp[1])  # Pillow before 11.1 looks there in a PNG only
        return found if found in _TURNS else 1
    except Exception:  # Pillow's readers raise whatever they like, and nobody needs the rest
        return 1


def _may_be_turned(image: Image.Image, encoded: bytes) -> bool:
    # Pillow would decode a PNG to see whether anything behind the pixels turns it.
    return image.format != "PNG" or any(mark in encoded for mark in _MAY_TURN_A_PNG)


def _displayed_size(image: ImageFile.ImageFile, encoded: bytes) -> tuple[int, int]:
    if not _may_be_turned(image, encoded):
        return image.size
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow has exchanged them, or not yet.
        tags = image.tag_v2
        width, height = tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def _turned(page: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return page if turn is None else page.transpose(turn)


def _decoded_tiff(image: ImageFile.ImageFile) -> Image.Image:
    """Pillow turns a TIFF while it decodes it, by all of its tags; so it is left only the one."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    orientation = _orientation(image)
    exif = image.getexif()
    for tag in list(exif):
        del exif[tag]
    exif[ExifTags.Base.Orientation] = orientation
    image.info.pop("xmp", None)
    image.load()
    page = to_rgb(image)
    # Pillow turns the tones of a negative, too, but not where they are deep greys.
    negative = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0
    return ImageOps.invert(page) if negative and image.mode.startswith("I;16") else page


def _decoded_png(image: ImageFile.ImageFile, encoded: bytes) -> Image.Image:
    """Pillow scales the pixels to 8 bits, but not the colour key."""
    key = image.info.get("transparency")
    stored = image.tile[0].args  # as what Pillow reads the pixels
    match stored, key:
        case "L;2" | "L;4", int():
            top = 2 ** int(stored[-1]) - 1
            image.info["transparency"] = (key & top) * 255 // top
        case "RGB;16B", (_, _, _):
            del image.info["transparency"]
            pixels = np.array(image)
            deep = pixels.astype(np.uint16) << 8 | _lower_bytes(encoded)
            pixels[(deep == key).all(axis=2)] = 255
            return Image.fromarray(pixels)
    image.load()
    return to_rgb(image)


def _lower_bytes(encoded: bytes) -> np.ndarray:
    """What Pillow drops of a PNG with 16 bits a channel, (height, width, 3)."""
    with Image.open(io.BytesIO(encoded)) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.array(image)


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """16-bit greys by their full range; 32-bit and float pixels, which have none, by their own."""
    if values.dtype.itemsize == 2:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float64))
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and high <= 255 and values.dtype.kind in "iu":
        return finite.astype(np.uint8)
    return ((finite - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
