"""Settings under which a published result was reached: one file each, by its source's name.

A model's entry that names one takes all of its keys; the entry's own keys override them.
"""

from collections.abc import Mapping
from typing import Any

from active_perception_r1.registry import Registry

PRESETS: Registry[Mapping[str, Any]] = Registry(__name__, "PRESET")

__all__ = ["PRESETS"]
