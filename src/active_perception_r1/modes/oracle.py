"""Diagnostic: the model is shown the evidence instead of the page, which tells the headroom.

The only mode in which anything derived from labels reaches a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from PIL import Image

from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.zoom_simulator import evidence_view
from active_perception_r1.geometry import Box
from active_perception_r1.modes._mode import CropSizes, Mode
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.sim.live_reinjection import EpisodeRules

MARGIN = 0.02  # Context around the evidence, in page units.


def oracle_box(evidence: tuple[Evidence, ...]) -> Box:
    """The smallest box that shows one alternative (the first) of every part of the evidence."""
    first_of_label = {region.label: region.box for region in reversed(evidence)}
    return reduce(Box.union, first_of_label.values())


def _evidence(sample: Sample, rules: EpisodeRules, earlier: CropSizes) -> Sequence[Image.Image]:
    if not sample.evidence:
        return ()
    page, box = open_page(sample.image), oracle_box(sample.evidence)
    return (evidence_view(page, box, MARGIN, rules.crop).image,)


MODE = Mode(
    "is shown the evidence instead of the page",
    opening=_evidence,
    opening_budget="crop",
    opening_name="The evidence",
)
