"""Qwen2-VL: patches of 14 pixels, merged by twos."""

from active_perception_r1.families._family import Family
from active_perception_r1.families._qwen import MAX_ASPECT, image_options

FAMILY = Family(("qwen2_vl",), multiple=28, max_aspect=MAX_ASPECT, image_options=image_options)
