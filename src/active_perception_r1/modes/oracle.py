"""Diagnostic: the model is shown the evidence instead of the page, which tells the headroom.

The only mode in which anything derived from labels reaches a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.evidence_crop import evidence_crop
from active_perception_r1.modes._mode import CropSizes, Mode
from active_perception_r1.records import Sample
from active_perception_r1.sim.live_reinjection import EpisodeRules


def _evidence(sample: Sample, rules: EpisodeRules, earlier: CropSizes) -> Sequence[Image.Image]:
    if not sample.evidence:
        return ()
    return (evidence_crop(open_page(sample.image), sample.evidence, rules.crop).image,)


MODE = Mode(
    "is shown the evidence instead of the page",
    opening=_evidence,
    opening_budget="crop",
    opening_name="The evidence",
)
