"""Qwen3.5, 3.6 and 3.8: patches of 16 pixels, merged by twos; calls in XML."""

from active_perception_r1.families._family import Family
from active_perception_r1.families._qwen import MAX_ASPECT, image_options

FAMILY = Family(
    ("qwen3_5", "qwen3_5_moe"), multiple=32, max_aspect=MAX_ASPECT, image_options=image_options
)
