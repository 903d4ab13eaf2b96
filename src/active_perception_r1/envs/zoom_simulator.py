"""Pages and crops: what a model is shown, cut from the original pixels of the page.

All boxes are page coordinates, 0-1 of the page as it is displayed. Nothing here knows about answers
or evidence, so nothing derived from labels can reach an observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.errors import DataError
from active_perception_r1.geometry import WHOLE_PAGE, Box, equal_tiles
from active_perception_r1.records import ToolStatus


@dataclass(frozen=True, slots=True)
class ViewRules:
    """Size of an image as sent to a model.

    Attributes:
        max_pixels: the budget.
        multiple: both sides are multiples of so many pixels.
        max_aspect: long side over short side, after rounding, that the model's processor takes at
            most; None if it takes any.
    """

    max_pixels: int
    multiple: int = 1
    max_aspect: float | None = None


@dataclass(frozen=True, slots=True)
class CropRules:
    """What may be zoomed into and how large the crop is shown.

    Attributes:
        view: the budget of a crop, to which it is enlarged or shrunk.
        min_pixels: if set, a crop is enlarged only up to this many pixels, and shrunk only where it
            exceeds the budget; between the two it keeps the page's own pixels.
        clamp: a box that reaches outside the page is cut at its edge instead of refused.
        min_side: in pixels of the page; a shorter side of a box is grown around its centre.
        max_aspect: long side over short side in pixels; the short side of a flatter box is grown
            around its centre until it fits.
        min_area, max_area: of the requested box, as a share of the page.
    """

    view: ViewRules
    max_aspect: float
    min_area: float
    max_area: float
    min_pixels: int | None = None
    clamp: bool = False
    min_side: int = 1


@dataclass(frozen=True, slots=True)
class Crop:
    """An executed zoom: `box` (page coordinates) is exactly what `image` shows.

    Attributes:
        size: width and height of the image.
        page, pixels: what it is cut from, and where.
    """

    box: Box
    size: tuple[int, int]
    page: Image.Image
    pixels: tuple[int, int, int, int]

    @property
    def image(self) -> Image.Image:
        """What is there, cut when it is asked for: most controls show something else."""
        return _resized(self.page, self.pixels, self.size)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A zoom that was not executed, and why, in words for the model."""

    status: ToolStatus
    reason: str


def require_shape(size: tuple[int, int], rules: ViewRules) -> None:
    """Check that the model's processor takes images of this shape, as wide and high as `size`.

    Raises:
        DataError: they are too flat.
    """
    if rules.max_aspect is not None and max(size) > rules.max_aspect * min(size):
        raise DataError(
            f"an image of {size[0]} x {size[1]} pixels is flatter than {rules.max_aspect:g}:1, the"
            " most that the model's image processor takes"
        )


def first_view(page: Image.Image, rules: ViewRules) -> Image.Image:
    """The whole page, shrunk to the budget; never enlarged beyond rounding to the multiple.

    Raises:
        DataError: it is flatter than the model's processor takes.
    """
    scale = min(1.0, math.sqrt(rules.max_pixels / (page.width * page.height)))
    return _whole_page(page, scale, rules)


def view_of_size(page: Image.Image, pixels: int, rules: ViewRules) -> Image.Image:
    """The whole page, shrunk or enlarged to `pixels`, whatever the budget of the rules.

    Raises:
        DataError: as `first_view`.
    """
    scale = math.sqrt(pixels / (page.width * page.height))
    return _whole_page(page, scale, replace(rules, max_pixels=pixels))


def tile_views(page: Image.Image, count: int, rules: ViewRules) -> tuple[Image.Image, ...]:
    """The page in `count` equal tiles (`geometry.equal_tiles`), an image each; one is `first_view`.

    They are for models that bring every image to one resolution, and so can be shown more of a page
    only in parts. Each is squeezed into a square of the budget: of one that is not, the processors
    of such models keep less, since they shrink its longer side first or cut it off.

    Raises:
        DataError: as `first_view`, of the only one.
    """
    if count == 1:
        return (first_view(page, rules),)
    return tuple(_tile_view(page, tile, rules) for tile in equal_tiles(page.size, count))


def _tile_view(page: Image.Image, tile: Box, rules: ViewRules) -> Image.Image:
    x0, x1 = _whole(tile.x0 * page.width, tile.x1 * page.width, page.width)
    y0, y1 = _whole(tile.y0 * page.height, tile.y1 * page.height, page.height)
    side = _side(math.sqrt(rules.max_pixels), rules.multiple)
    alone = page.crop((x0, y0, x1, y1))  # so that nothing of its neighbours comes in
    return alone.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)


@lru_cache(maxsize=4)  # consecutive episodes share a page, as in `open_page`
def opening_view(encoded: bytes, rules: ViewRules) -> Image.Image:
    """The first view of an encoded page; not to be changed by the caller.

    Raises:
        DataError: as `open_page` and `first_view`.
    """
    return first_view(open_page(encoded), rules)


@lru_cache(maxsize=4)
def opening_tiles(encoded: bytes, count: int, rules: ViewRules) -> tuple[Image.Image, ...]:
    """The `tile_views` of an encoded page; not to be changed by the caller.

    Raises:
        DataError: as `open_page` and `tile_views`.
    """
    return tile_views(open_page(encoded), count, rules)


def allowed(box: Box, min_area: float, max_area: float = 1.0, clamp: bool = False) -> Box | Refusal:
    """What a call for `box` may see of the page, or why it may not. Areas are shares of the page.

    Args:
        clamp: a box that reaches outside the page is cut at its edge.
    """
    if clamp:
        box = box.intersection(WHOLE_PAGE)
        if box.area == 0:
            return Refusal(ToolStatus.OUT_OF_BOUNDS, "the box is outside the page")
    if not box.inside_page:
        return Refusal(ToolStatus.OUT_OF_BOUNDS, "the box reaches outside the page")
    if box.area < min_area:
        return Refusal(ToolStatus.TOO_SMALL, "the box is too small")
    if box.area > max_area:
        return Refusal(ToolStatus.INVALID_BBOX, "the box is too large")
    return box


def zoom(page: Image.Image, box: Box, rules: CropRules) -> Crop | Refusal:
    """Cut `box` out of the page at full resolution and bring it to the crop's pixel budget."""
    wanted = allowed(box, rules.min_area, rules.max_area, rules.clamp)
    return wanted if isinstance(wanted, Refusal) else cut(page, wanted, rules)


def evidence_view(page: Image.Image, box: Box, margin: float, rules: CropRules) -> Crop:
    """The crop that shows `box` with `margin` (page units) around it; always executed.

    Raises:
        DataError: it is flatter than the model's processor takes, and the page has no more room.
    """
    return cut(page, box.expanded(margin), rules)


def cut(page: Image.Image, box: Box, rules: CropRules) -> Crop:
    """The crop that shows `box`, a part of the page.

    Raises:
        DataError: as `evidence_view`.
    """
    pixels = _pixel_box(box, page.size, rules)
    return Crop(_page_box(pixels, page.size), _crop_size(pixels, rules), page, pixels)


def replacement(page: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """`box` of a page, brought to the size of the crop that it takes the place of."""
    region = (
        *(box.x0 * page.width, box.y0 * page.height),
        *(box.x1 * page.width, box.y1 * page.height),
    )
    return page.resize(size, Image.Resampling.LANCZOS, box=region, reducing_gap=3.0)


def _pixel_box(box: Box, size: tuple[int, int], rules: CropRules) -> tuple[int, int, int, int]:
    """The pixels that `box` touches, grown to the allowed sides and ratio inside the page."""
    (width, height) = size
    x0, x1 = _whole(box.x0 * width, box.x1 * width, width)
    y0, y1 = _whole(box.y0 * height, box.y1 * height, height)
    x0, x1 = _grown(x0, x1, rules.min_side, width)
    y0, y1 = _grown(y0, y1, rules.min_side, height)
    x0, x1 = _grown(x0, x1, math.ceil((y1 - y0) / rules.max_aspect), width)
    y0, y1 = _grown(y0, y1, math.ceil((x1 - x0) / rules.max_aspect), height)
    return x0, y0, x1, y1


def _whole(start: float, stop: float, limit: int) -> tuple[int, int]:
    """The smallest run of whole pixels around [start, stop], at least one, inside [0, limit]."""
    # Tolerance: 0.29 * 100 is 28.999999999999996, and that pixel was not asked for.
    first = min(limit - 1, max(0, math.floor(start + 1e-6)))
    return first, min(limit, max(first + 1, math.ceil(stop - 1e-6)))


def _grown(start: int, stop: int, length: int, limit: int) -> tuple[int, int]:
    """[start, stop] lengthened around its centre to `length`, shifted to stay inside [0, limit]."""
    length = min(limit, length)
    if stop - start >= length:
        return start, stop
    start = min(max(0, (start + stop - length) // 2), limit - length)
    return start, start + length


def _page_box(pixels: tuple[int, int, int, int], size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = pixels
    return Box(x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1])


def _crop_size(pixels: tuple[int, int, int, int], rules: CropRules) -> tuple[int, int]:
    wide, high = pixels[2] - pixels[0], pixels[3] - pixels[1]
    wanted = rules.view.max_pixels
    if rules.min_pixels is not None:
        wanted = min(wanted, max(wide * high, rules.min_pixels))
    return _size((wide, high), math.sqrt(wanted / (wide * high)), rules.view)


def _whole_page(page: Image.Image, scale: float, rules: ViewRules) -> Image.Image:
    return _resized(page, (0, 0, page.width, page.height), _size(page.size, scale, rules))


def _size(own: tuple[int, int], scale: float, rules: ViewRules) -> tuple[int, int]:
    """That of pixels as many as `own` when they are scaled and brought within the rules."""
    width, height = (_side(side * scale, rules.multiple) for side in own)
    while width * height > rules.max_pixels and max(width, height) > rules.multiple:
        if width >= height:
            width -= rules.multiple
        else:
            height -= rules.multiple
    require_shape(own, rules)
    if rules.max_aspect is not None:  # Rounding may have made it flatter than it is.
        longest = _side_within(rules.max_aspect * min(width, height), rules.multiple)
        width, height = min(width, longest), min(height, longest)
    return width, height


def _resized(
    page: Image.Image, pixels: tuple[int, int, int, int], size: tuple[int, int]
) -> Image.Image:
    return page.resize(size, Image.Resampling.LANCZOS, box=pixels, reducing_gap=3.0)


def _side(length: float, multiple: int) -> int:
    return max(multiple, round(length / multiple) * multiple)


def _side_within(length: float, multiple: int) -> int:
    return int(length // multiple) * multiple
