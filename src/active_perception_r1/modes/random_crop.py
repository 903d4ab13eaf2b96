"""Control: crops come from elsewhere on the same page. If accuracy does not fall, any part will do.

Grey crops and crops of other pages are images that a model never sees otherwise. These are what it
does see, of the same page and of the size that it asked for, at a place that it did not choose.
"""

from __future__ import annotations

import random

from PIL import Image

from active_perception_r1.envs.zoom_simulator import Crop, replacement
from active_perception_r1.geometry import Box
from active_perception_r1.modes._mode import Mode
from active_perception_r1.sim.live_reinjection import Pages

_Places = tuple[range, range]  # of the left and of the upper edge, in pixels


def elsewhere(box: Box, size: tuple[int, int], draw: random.Random) -> Box:
    """A box of the size of `box` beside it, every place in whole pixels as likely as any other.

    Where there is no room beside it, it is the corner of the page that overlaps `box` least.

    Args:
        box: with its edges at pixels of the page, as a crop has them.
        size: of the page in pixels.
    """
    (width, height) = size
    x0, x1 = round(box.x0 * width), round(box.x1 * width)
    y0, y1 = round(box.y0 * height), round(box.y1 * height)
    wide, high = x1 - x0, y1 - y0
    anywhere = range(height - high + 1)
    beside = range(max(0, x0 - wide + 1), min(x1, width - wide + 1))
    places: list[_Places] = [
        (range(x0 - wide + 1), anywhere),
        (range(x1, width - wide + 1), anywhere),
        (beside, range(y0 - high + 1)),
        (beside, range(y1, height - high + 1)),
    ]
    counts = [len(xs) * len(ys) for xs, ys in places]
    if any(counts):
        xs, ys = draw.choices(places, counts)[0]
        x, y = draw.choice(xs), draw.choice(ys)
    else:
        x = 0 if x0 > width - x1 else width - wide
        y = 0 if y0 > height - y1 else height - high
    return Box(x / width, y / height, (x + wide) / width, (y + high) / height)


def _from_elsewhere(crop: Crop, pages: Pages) -> Image.Image:
    box = elsewhere(crop.box, pages.page.size, random.Random(pages.draw))
    return replacement(pages.page, box, crop.size)


MODE = Mode(
    "may zoom, but crops come from elsewhere on the page",
    tool=True,
    crop_content=_from_elsewhere,
    crops_are="from elsewhere on the page as a control",
)
