"""SmolVLM and what else is an Idefics3: tiles of one size, each of them as many tokens."""

from __future__ import annotations

import math
from typing import Any

from active_perception_r1.families._family import Family


def _image_options(image_processor: Any, max_pixels: int) -> dict[str, Any]:
    """It enlarges every image to one long side and cuts that into tiles: as many as the budget
    fills, where its default takes up to 17 for any thumbnail.
    """
    tile = int(image_processor.max_image_size["longest_edge"])
    return {"size": {"longest_edge": tile * math.ceil(math.sqrt(max_pixels) / tile)}}


FAMILY = Family(("idefics3",), fixed_resolution=True, image_options=_image_options)
