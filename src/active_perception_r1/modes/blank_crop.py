"""Control: crops are grey. If accuracy does not fall, the crop does not matter."""

from PIL import Image

from active_perception_r1.envs.zoom_simulator import Crop
from active_perception_r1.modes._mode import Mode
from active_perception_r1.sim.live_reinjection import Pages


def _grey(crop: Crop, pages: Pages) -> Image.Image:
    return Image.new("RGB", crop.size, "gray")


MODE = Mode(
    "may zoom, but crops are grey",
    tool=True,
    crop_content=_grey,
    crops_are="blanked as a control",
)
