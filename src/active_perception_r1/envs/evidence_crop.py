"""The crop that a perfect zoom would give: made from labels, for diagnostics only."""

from __future__ import annotations

from functools import reduce

from PIL import Image

from active_perception_r1.envs.zoom_simulator import Crop, CropRules, evidence_view
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence

MARGIN = 0.02  # Context around the evidence, in page units.


def oracle_box(evidence: tuple[Evidence, ...]) -> Box:
    """The smallest box that shows one alternative (the first) of every part of the evidence."""
    first_of_label = {region.label: region.box for region in reversed(evidence)}
    return reduce(Box.union, first_of_label.values())


def evidence_crop(page: Image.Image, evidence: tuple[Evidence, ...], rules: CropRules) -> Crop:
    """The crop of `oracle_box`, with some context around it.

    Raises:
        DataError: as `zoom_simulator.evidence_view`.
    """
    return evidence_view(page, oracle_box(evidence), MARGIN, rules)
