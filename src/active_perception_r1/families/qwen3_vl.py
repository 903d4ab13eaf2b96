"""Qwen3-VL: patches of 16 pixels, merged by twos."""

from active_perception_r1.families._family import Family
from active_perception_r1.families._qwen import image_options

FAMILY = Family(("qwen3_vl",), multiple=32, image_options=image_options)
