"""Ways to tell whether a question needs a zoom where its dataset does not say so; one a file."""

from __future__ import annotations

from active_perception_r1.data.needs._need import Decision, Need
from active_perception_r1.registry import Registry

NEEDS: Registry[Need] = Registry("active_perception_r1.data.needs", "NEED")

__all__ = ["NEEDS", "Decision", "Need"]
