"""Control: crops come from the same place on another page."""

from PIL import Image

from active_perception_r1.envs.zoom_simulator import Crop, replacement
from active_perception_r1.modes._mode import Mode
from active_perception_r1.sim.live_reinjection import Pages


def _from_distractor(crop: Crop, pages: Pages) -> Image.Image:
    assert pages.distractor is not None  # `EpisodeRules.needs_distractor`
    return replacement(pages.distractor, crop.box, crop.size)


MODE = Mode(
    "may zoom, but crops come from another page",
    tool=True,
    crop_content=_from_distractor,
    needs_distractor=True,
    crops_are="from another page as a control",
)
