"""Control: crops come from the same place on another page."""

from PIL import Image

from active_perception_r1.envs.zoom_simulator import Crop
from active_perception_r1.modes._mode import Mode


def _from_distractor(crop: Crop, distractor: Image.Image | None) -> Image.Image:
    assert distractor is not None  # `EpisodeRules.needs_distractor`
    (width, height), box = distractor.size, crop.box
    region = (box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)
    return distractor.resize(
        crop.image.size, Image.Resampling.LANCZOS, box=region, reducing_gap=3.0
    )


MODE = Mode(
    "may zoom, but crops come from another page",
    tool=True,
    crop_content=_from_distractor,
    needs_distractor=True,
    crops_are="from another page as a control",
)
