"""An encoded page is read in one way: a slice takes exactly what a model can be shown."""

from __future__ import annotations

import io
import random
import struct
import zlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin, features

from active_perception_r1.envs.encoded_page import (
    MAX_PAGE_PIXELS,
    checked_size,
    open_page,
    size_by_head,
    to_rgb,
)
from active_perception_r1.errors import DataError
from tests.docvqa_files import ROTATED, bomb, encoded

Size = tuple[int, int]

NOISE = Image.frombytes("RGB", (20, 12), random.Random(0).randbytes(720))
TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = ROTATED

PAGES = {
    "PNG": encoded(NOISE, "PNG"),
    "PNG of a palette": encoded(NOISE.convert("P"), "PNG"),
    "turned PNG": encoded(NOISE, "PNG", exif=TURNED),
    "JPEG": encoded(NOISE, "JPEG"),
    "progressive JPEG": encoded(NOISE, "JPEG", progressive=True),
    "JPEG for print": encoded(NOISE.convert("CMYK"), "JPEG"),
    "turned JPEG": encoded(NOISE, "JPEG", exif=TURNED),
    "WebP": encoded(NOISE, "WEBP"),
    "TIFF": encoded(NOISE, "TIFF"),
    "turned TIFF": encoded(NOISE, "TIFF", exif=TURNED),
}


def size(page: bytes) -> Size | None:
    try:
        return checked_size(page)
    except DataError:
        return None


def decoded_size(page: bytes) -> Size | None:
    try:
        return open_page(page).size
    except DataError:
        return None


def pixels(page: bytes) -> list[list[int]]:
    """Of a page of one row."""
    rows: list[list[list[int]]] = np.asarray(open_page(page)).tolist()
    assert len(rows) == 1
    return rows[0]


class TestTheFunctionsAgree:
    @pytest.fixture(params=PAGES)
    def page(self, request: pytest.FixtureRequest) -> bytes:
        return PAGES[request.param]

    def test_on_the_size_of_the_displayed_page(self, page: bytes) -> None:
        assert checked_size(page) == size_by_head(page) == open_page(page).size

    def test_on_a_page_that_is_turned_by_what_stands_behind_its_pixels(self) -> None:
        page, turned = PAGES["PNG"], PAGES["turned PNG"]
        start, end = turned.index(b"eXIf") - 4, turned.index(b"IDAT") - 4
        behind = page[:-12] + turned[start:end] + page[-12:]
        assert checked_size(behind) == size_by_head(behind) == open_page(behind).size == (12, 20)

    @pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged metadata
    def test_on_a_page_cut_off_anywhere(self, page: bytes) -> None:
        verdicts = [size(page[:length]) for length in range(len(page))]
        assert verdicts == [decoded_size(page[:length]) for length in range(len(page))]
        assert None in verdicts[-40:]  # amid the pixels, not only in the head

    @pytest.mark.filterwarnings("ignore")
    def test_on_a_page_with_any_byte_damaged(self, page: bytes) -> None:
        for place in range(len(page)):
            damaged = page[:place] + bytes([page[place] ^ 0xFF]) + page[place + 1 :]
            assert size(damaged) == decoded_size(damaged), place


FORMATS = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF by libtiff": {"compression": "tiff_lzw"},
    **({"AVIF": {}} if features.check("avif") else {}),
}
SHORT, ASCII = 3, 2
# What a TIFF keeps its pixels by, and the tag that all of this is about.
NEEDED = {*range(254, 285), 317, *range(320, 326), 330, *range(338, 342), 347, *range(512, 533)}
NEEDED |= {*range(529, 533), 37724}
OTHER_TAGS = sorted({tag.value for tag in ExifTags.Base} - NEEDED - {274})


def with_exif(
    format: str, orientation: int, tag: int = 305, kind: int = ASCII, n: int = 9
) -> bytes:
    """NOISE, with an orientation and one more entry, whatever that says of its type and length."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Software] = "software"
    name, options = format.split()[0], FORMATS[format]
    if name in ("TIFF", "AVIF"):  # Pillow writes their tags itself.
        return _replaced_entry(encoded(NOISE, name, exif=exif, **options), tag, kind, n)
    raw = _replaced_entry(exif.tobytes(), tag, kind, n)
    return encoded(NOISE, name, exif=raw, **options)


def _replaced_entry(data: bytes, tag: int, kind: int, n: int) -> bytes:
    for order in "<>":
        entry = struct.pack(f"{order}HHI", ExifTags.Base.Software, ASCII, 9)
        data = data.replace(entry, struct.pack(f"{order}HHI", tag, kind, n))
    return data


class TestOrientation:
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_is_applied_once(self, format: str, orientation: int) -> None:
        upright = Image.new("RGB", (40, 20), "white")
        upright.paste("red", (0, 0, 16, 16))
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpose codes
        stored = (
            upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
        )
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        encoded_page = encoded(stored, format.split()[0], exif=exif, **FORMATS[format])
        page = open_page(encoded_page)
        assert size_by_head(encoded_page) == page.size == (40, 20)
        assert page.getpixel((6, 6)) == pytest.approx((255, 0, 0), abs=8)
        assert page.getpixel((33, 13)) == pytest.approx((255, 255, 255), abs=8)

    @pytest.mark.parametrize("format", FORMATS)
    def test_nobody_who_reads_the_page_later_applies_it_again(self, format: str) -> None:
        page = open_page(with_exif(format, ROTATED))
        for image in (page, page.resize((30, 30)), page.crop((0, 0, 8, 4))):
            assert ImageOps.exif_transpose(image).tobytes() == image.tobytes()

    @pytest.mark.filterwarnings("ignore")  # Pillow's, about the tag
    @given(
        st.sampled_from(sorted(FORMATS)),
        st.integers(1, 8),
        st.sampled_from(OTHER_TAGS),
        st.integers(0, 18),
        st.integers(0, 12),
    )
    def test_a_damaged_tag_that_nobody_needs_costs_nothing(
        self, format: str, orientation: int, tag: int, kind: int, n: int
    ) -> None:
        sound, damaged = (
            with_exif(format, orientation),
            with_exif(format, orientation, tag, kind, n),
        )
        assert size_by_head(damaged) == checked_size(damaged) == size_by_head(sound)
        assert open_page(damaged).tobytes() == open_page(sound).tobytes()

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_one_that_means_nothing_is_none(self, format: str, orientation: int) -> None:
        page = with_exif(format, orientation)
        assert size_by_head(page) == checked_size(page) == open_page(page).size == NOISE.size

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\0\0\0"])
    def test_broken_exif_is_none(self, format: str, exif: bytes) -> None:
        page = encoded(NOISE, format, exif=exif, **FORMATS[format])
        assert size_by_head(page) == checked_size(page) == open_page(page).size == NOISE.size

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
    def test_that_of_xmp_counts_where_exif_has_none(self, format: str) -> None:
        xmp = b'<rdf:Description tiff:Orientation="6"/>'
        match format:
            case "PNG":
                info = PngImagePlugin.PngInfo()
                info.add_itxt("XML:com.adobe.xmp", xmp.decode())
                page = encoded(NOISE, format, pnginfo=info)
            case "JPEG":
                adobe = b"http://ns.adobe.com/xap/1.0/\0" + xmp
                segment = b"\xff\xe1" + struct.pack(">H", len(adobe) + 2) + adobe
                page = PAGES["JPEG"][:2] + segment + PAGES["JPEG"][2:]
            case "TIFF":
                page = encoded(NOISE, format, tiffinfo={700: xmp})
            case _:
                page = encoded(NOISE, format, xmp=xmp)
        assert size_by_head(page) == checked_size(page) == open_page(page).size == (12, 20)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def keyed_png(depth: int, channels: int, values: list[int], key: list[int]) -> bytes:
    """A PNG of one row whose pixels equal to `key` are transparent; values at its own depth."""
    bits = "".join(f"{value:0{depth}b}" for value in values)
    row = int(bits.ljust(-len(bits) // 8 * -8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    width, kind = len(values) // channels, {1: 0, 3: 2}[channels]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(f">{channels}H", *key))
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


class TestTransparency:
    """Everything that is transparent is white, as on paper."""

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_a_grey_key_is_compared_at_the_depth_of_the_file(self, depth: int) -> None:
        top = 2**depth - 1
        greys = sorted({0, 1, top // 3, top})
        for key in greys:
            shown = [255 if grey == key else grey * 255 // top for grey in greys]
            assert pixels(keyed_png(depth, 1, greys, [key])) == [[grey] * 3 for grey in shown]

    @pytest.mark.parametrize("depth", [8, 16])
    def test_a_colour_key_is_compared_at_the_depth_of_the_file(self, depth: int) -> None:
        near_black = [1, 0, 0] if depth == 8 else [0, 0, 1]  # differs in the lower byte only
        page = keyed_png(depth, 3, [0, 0, 0, *near_black], key=[0, 0, 0])
        text = [1, 0, 0] if depth == 8 else [0, 0, 0]
        assert pixels(page) == [[255, 255, 255], text]

    @pytest.mark.parametrize("mode", ["L", "1", "P", "RGB"])
    def test_near_black_text_on_a_keyed_background_is_readable(self, mode: str) -> None:
        image = Image.new("RGB", (2, 1), "black")
        image.putpixel((1, 0), (9, 9, 9) if mode in ("L", "RGB") else (255, 255, 255))
        key = (0, 0, 0) if mode == "RGB" else 0
        page = encoded(image.convert(mode), "PNG", transparency=key)
        (background, _) = pixels(page)
        assert background == [255, 255, 255]
        assert to_rgb(Image.open(io.BytesIO(page))).getpixel((0, 0)) == (255, 255, 255)

    @pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
    def test_an_alpha_channel_is_laid_over_white(self, mode: str) -> None:
        image = Image.new(mode, (4, 4), (0,) * len(mode))
        assert to_rgb(image).getpixel((0, 0)) == (255, 255, 255)

    @pytest.mark.parametrize("format", ["WEBP", "GIF", "TIFF"])
    def test_so_is_that_of_other_formats(self, format: str) -> None:
        page = encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), format)
        assert open_page(page).getpixel((0, 0)) == (255, 255, 255)


class TestTones:
    @pytest.mark.parametrize(
        "mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"]
    )
    def test_every_mode_becomes_rgb(self, mode: str) -> None:
        source = Image.linear_gradient("L").resize((32, 32))
        image = (
            source.convert("RGB").convert(mode) if mode in ("HSV", "LAB") else source.convert(mode)
        )
        assert to_rgb(image).mode == "RGB"
        assert to_rgb(image).size == (32, 32)

    @pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
    def test_deep_greys_keep_their_range(self, dtype: str) -> None:
        scale = {"uint16": 65535, "int32": 65535, "float32": 1}[dtype]
        ramp = (np.linspace(0, 1, 256)[None].repeat(4, 0) * scale).astype(dtype)
        grey = np.asarray(to_rgb(Image.fromarray(ramp)))[0, :, 0]
        assert grey[0] == 0
        assert grey[-1] == 255
        assert abs(int(grey[128]) - 128) <= 1

    def test_the_tones_of_a_deep_grey_negative_are_turned(self) -> None:
        stored = Image.fromarray(np.array([[0, 65535]], np.uint16))
        tags = {ExifTags.Base.PhotometricInterpretation: 0}  # white is zero
        assert pixels(encoded(stored, "TIFF", tiffinfo=tags)) == [[255] * 3, [0] * 3]
        assert pixels(encoded(stored, "TIFF")) == [[0] * 3, [255] * 3]


def tiff(*kinds: int) -> bytes:
    """A TIFF with a frame for each NewSubfileType; each is ten pixels narrower than the last."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, True) as writer:
        for index, kind in enumerate(kinds):
            frame = NOISE.resize((60 - 10 * index, 40))
            frame.save(writer, "TIFF", tiffinfo={ExifTags.Base.NewSubfileType: kind})
            writer.newFrame()
    return file.getvalue()


def psd(layers: int) -> bytes:
    """A Photoshop file of 2 x 1 grey pixels whose layers are empty."""
    layer = struct.pack(">4iHHI4s4BI", 0, 0, 1, 2, 1, 0, 0, b"8BIM", 0, 0, 0, 0, 0)
    info = struct.pack(">h", layers) + layer * layers + b"\0\0" * layers
    sections = struct.pack(">III", 0, 0, len(info) + 4) + struct.pack(">I", len(info)) + info
    return struct.pack(">4sH6xHIIHH", b"8BPS", 1, 1, 1, 2, 8, 1) + sections + b"\0\0" + b"\0\xff"


PAGE, PREVIEW, SECOND_PAGE, MASK = 0, 1, 2, 4  # NewSubfileType


class TestAPageIsOneImage:
    @pytest.mark.parametrize(
        "format", ["GIF", "WEBP", "PNG", "TIFF", *(["AVIF"] if features.check("avif") else [])]
    )
    def test_a_file_of_several_pages_or_frames_is_refused(self, format: str) -> None:
        other = NOISE.rotate(180)
        page = encoded(NOISE, format, save_all=True, append_images=[other])
        assert size_by_head(page) is None
        for read in (checked_size, open_page):
            with pytest.raises(DataError, match="several pages or frames.*a row of its own"):
                read(page)

    @pytest.mark.parametrize("kinds", [(PAGE, PAGE), (SECOND_PAGE, SECOND_PAGE, PREVIEW)])
    def test_so_is_a_tiff_by_what_its_frames_say_they_are(self, kinds: tuple[int, ...]) -> None:
        with pytest.raises(DataError, match="several pages"):
            open_page(tiff(*kinds))

    @pytest.mark.parametrize(
        ("kinds", "width"),
        [
            ((PAGE, PREVIEW), 60),
            ((PAGE, PREVIEW, MASK), 60),
            ((PREVIEW, PAGE), 50),
            ((PREVIEW, MASK), 60),
            ((PREVIEW,), 60),
        ],
    )
    def test_previews_and_masks_are_no_pages(self, kinds: tuple[int, ...], width: int) -> None:
        page = tiff(*kinds)
        assert size_by_head(page) == checked_size(page) == open_page(page).size == (width, 40)

    def test_a_photograph_with_a_preview_behind_it_is_one_page(self) -> None:
        preview = NOISE.resize((10, 6))
        page = encoded(NOISE, "MPO", save_all=True, append_images=[preview])
        assert size_by_head(page) == checked_size(page) == open_page(page).size == NOISE.size

    def test_layers_are_no_pages(self) -> None:
        assert pixels(psd(layers=3)) == [[0, 0, 0], [255, 255, 255]]

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_an_animation_of_one_frame_is_a_page(self, format: str) -> None:
        page = encoded(NOISE, format, save_all=True)
        assert size_by_head(page) == checked_size(page) == open_page(page).size == NOISE.size

    @pytest.mark.filterwarnings("ignore")  # Pillow's, about the frame
    def test_damage_behind_a_page_is_no_second_page(self) -> None:
        page = encoded(NOISE, "TIFF")
        assert page.endswith(NOISE.tobytes()[-4:])
        (start,) = struct.unpack("<I", page[4:8])
        (entries,) = struct.unpack("<H", page[start : start + 2])
        end = start + 2 + 12 * entries
        for offset, rest in product((1, 7, len(page), 2**32 - 1), (b"", b"\xff" * 30)):
            damaged = page[:end] + struct.pack("<I", offset) + page[end + 4 :] + rest
            assert size_by_head(damaged) == checked_size(damaged) == NOISE.size
            assert open_page(damaged).tobytes() == open_page(page).tobytes()


def png_head(side: int) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)


class TestWhatIsNoPage:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "cannot be decoded"),
            (b"not an image", "cannot be decoded"),
            (encoded(NOISE.resize((640, 480)), "PNG")[:2000], "cannot be decoded"),
            (PAGES["JPEG"][:200], "cannot be decoded"),
            (png_head(50_000), "larger than the limit|cannot be decoded"),
        ],
    )
    def test_it_is_named_as_such(self, data: bytes, message: str) -> None:
        for read in (checked_size, open_page):
            with pytest.raises(DataError, match=message):
                read(data)

    @pytest.mark.filterwarnings("ignore")  # Pillow's, about its size
    def test_too_many_pixels_are_refused_before_they_are_decoded(self) -> None:
        side = int(MAX_PAGE_PIXELS**0.5) + 1
        for page in (bomb(side=9_500), encoded(Image.new("1", (side, side)), "PNG")):
            assert size_by_head(page) is None
            for read in (checked_size, open_page):
                with pytest.raises(DataError, match="larger than the limit"):
                    read(page)
