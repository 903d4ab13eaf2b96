"""GLM-4.1V, 4.5V and 4.6V: patches of 14 pixels, merged by twos."""

from __future__ import annotations

from typing import Any

from active_perception_r1.families._family import Family
from active_perception_r1.families._qwen import MAX_ASPECT


def _image_options(image_processor: Any, max_pixels: int) -> dict[str, Any]:
    """It counts the pixels of an image once for each frame of the clip that it takes it for."""
    side = int(image_processor.patch_size * image_processor.merge_size)
    frames = int(image_processor.temporal_patch_size)
    return {"size": {"shortest_edge": frames * side**2, "longest_edge": frames * max_pixels}}


FAMILY = Family(
    ("glm4v", "glm4v_moe", "glm46v"),
    multiple=28,
    max_aspect=MAX_ASPECT,
    marks=("<|begin_of_box|>", "<|end_of_box|>"),
    image_options=_image_options,
)
