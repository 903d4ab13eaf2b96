"""What the models are told: one file a prompt set, chosen in a model's entry by its name."""

from collections.abc import Callable

from active_perception_r1.prompts._offer import ZoomOffer
from active_perception_r1.registry import Registry
from active_perception_r1.sim.conversation import Prompts

PROMPT_SETS: Registry[Callable[[ZoomOffer], Prompts]] = Registry(__name__, "prompts")

__all__ = ["PROMPT_SETS", "ZoomOffer"]
