"""Slices."""

from __future__ import annotations

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.section import Name, Section


class SliceConfig(Section):
    """Which questions are asked."""

    decisive = Decisive(("split", "samples", "seed"))

    split: Name = Field(default="test", description="split that they are drawn from")
    samples: int = Field(default=300, gt=0, description="how many; fewer if there are fewer")
    seed: int = Field(default=29, description="of the draw; a larger draw contains a smaller one")
