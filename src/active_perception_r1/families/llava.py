"""LLaVA-1.5: 336 x 336 pixels in patches of 14, and Vicuna's context.

Several images work, but were not trained on.
"""

from __future__ import annotations

from typing import Any

from active_perception_r1.families._family import Family


def _image_options(image_processor: Any, max_pixels: int) -> dict[str, Any]:
    """Its default cuts the top and bottom off a page; LLaVA-1.5 was trained on padding."""
    return {"do_pad": True}


FAMILY = Family(
    ("llava",),
    max_aspect=200.0,  # Padded to a square, a flatter image would be gigabytes.
    fixed_resolution=True,
    image_tokens=576,
    context=4096,
    image_options=_image_options,
)
