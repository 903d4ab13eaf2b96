"""What a mode of evaluation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image

from active_perception_r1.envs.zoom_simulator import opening_view
from active_perception_r1.records import Sample
from active_perception_r1.registry import Registry
from active_perception_r1.sim.live_reinjection import CropContent, EpisodeRules, real_pixels

Opening: TypeAlias = Callable[[Sample, EpisodeRules], Image.Image | None]


def first_view(sample: Sample, rules: EpisodeRules) -> Image.Image:
    """The whole page, shrunk to the budget of the first view."""
    return opening_view(sample.image, rules.first_view)


@dataclass(frozen=True, slots=True)
class Mode:
    """How a question is put to a model: what sets one mode apart from `baseline`.

    Attributes:
        summary: what the model does, for people: it goes on "The model ...".
        tool, require_zoom, crop_content, needs_distractor: see `EpisodeRules`.
        opening: the image shown first; None where it cannot be made, for want of evidence.
        opening_budget: which of the model's two budgets that image is sized by.
        opening_name, crops_are: what that image is, and what is special about crops, for people.
    """

    summary: str
    tool: bool = False
    require_zoom: bool = False
    crop_content: CropContent = real_pixels
    needs_distractor: bool = False
    opening: Opening = first_view
    opening_budget: Literal["first_view", "crop"] = "first_view"
    opening_name: str = "First view"
    crops_are: str = ""

    @property
    def zooms_for_real(self) -> bool:
        """What the model asks for is what it is shown: no control."""
        return self.tool and self.crop_content is real_pixels


MODES: Registry[Mode] = Registry("active_perception_r1.modes", "MODE")

# The modes that other code refers to.
BASELINE, ACTIVE, STRICT_ZOOM, ORACLE = "baseline", "active", "strict_zoom", "oracle"
BLANK_CROP, SHUFFLED_CROP = "blank_crop", "shuffled_crop"
