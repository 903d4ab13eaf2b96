"""What the families of Qwen have in common: images of any size, in patches that are merged."""

from __future__ import annotations

from typing import Any

# Their `smart_resize` raises above it, and GLM-4V's, which was made after it.
MAX_ASPECT = 200.0


def image_options(image_processor: Any, max_pixels: int) -> dict[str, Any]:
    """Sides are multiples of this already: within these bounds nothing is resized again."""
    side = int(image_processor.patch_size * image_processor.merge_size)
    return {"size": {"shortest_edge": side**2, "longest_edge": max_pixels}}
