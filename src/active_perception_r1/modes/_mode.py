"""What a mode of evaluation is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image

from active_perception_r1.envs.zoom_simulator import opening_view
from active_perception_r1.records import Sample
from active_perception_r1.registry import Registry
from active_perception_r1.sim.live_reinjection import CropContent, EpisodeRules, real_pixels

CropSizes: TypeAlias = Sequence[tuple[int, int]]
"""Width and height in pixels of crops that a model was shown."""

Opening: TypeAlias = Callable[[Sample, EpisodeRules, CropSizes], Sequence[Image.Image]]


def first_view(sample: Sample, rules: EpisodeRules, earlier: CropSizes) -> Sequence[Image.Image]:
    """The whole page, shrunk to the budget of the first view."""
    return (opening_view(sample.image, rules.first_view),)


@dataclass(frozen=True, slots=True)
class Mode:
    """How a question is put to a model: what sets one mode apart from `baseline`.

    Attributes:
        summary: what the model does, for people: it goes on "The model ...".
        tool, require_zoom, crop_content, needs_distractor: see `EpisodeRules`.
        opening: the images shown first; none where they cannot be made, for want of evidence.
        opening_budget: which of the model's two budgets those images are sized by.
        goes_by: the mode whose episodes of the same model decide what is shown: `opening` is given
            the crops that it was shown on the same question. Empty if none does.
        opening_name, crops_are: what that image is, and what is special about crops, for people.
    """

    summary: str
    tool: bool = False
    require_zoom: bool = False
    crop_content: CropContent = real_pixels
    needs_distractor: bool = False
    opening: Opening = first_view
    opening_budget: Literal["first_view", "crop"] = "first_view"
    goes_by: str = ""
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
RANDOM_CROP, CALL_ONLY, MATCHED_VIEW = "random_crop", "call_only", "matched_view"
