"""One short sentence after the question, for models with a tiny vocabulary."""

from __future__ import annotations

from active_perception_r1.prompts._offer import ZoomOffer
from active_perception_r1.sim.conversation import Prompts


def prompts(offer: ZoomOffer) -> Prompts:
    """The task's instruction is left out: such a model has learnt how to answer."""
    answer, zoom = "{question} Answer directly.", "{question} You may zoom."
    first = "{question} Zoom first." if offer.require_zoom else zoom if offer.tool else answer
    return Prompts(first=first, refused="", later=(answer, *[zoom] * offer.max_zooms))
