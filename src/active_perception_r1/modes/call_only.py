"""Control: calls are accepted, but no image comes. If accuracy does not fall, calling is enough."""

from active_perception_r1.envs.zoom_simulator import Crop
from active_perception_r1.modes._mode import Mode
from active_perception_r1.sim.live_reinjection import Pages


def _nothing(crop: Crop, pages: Pages) -> None:
    return None


MODE = Mode(
    "may zoom, but is shown nothing for it",
    tool=True,
    crop_content=_nothing,
    crops_are="not shown as a control",
)
