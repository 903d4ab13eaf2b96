"""The modes of evaluation: how a sample becomes an episode in each of them.

`start_episode` is the only place where anything derived from labels meets what a model is shown,
and only in `oracle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from PIL import Image

from active_perception_r1.envs.zoom_simulator import (
    CropRules,
    ViewRules,
    evidence_view,
    open_page,
    opening_view,
)
from active_perception_r1.geometry import Box
from active_perception_r1.prompts import PROMPT_SETS, ZoomOffer
from active_perception_r1.records import Evidence, Mode, Sample, ToolStatus
from active_perception_r1.sim.live_reinjection import CropContent, EpisodeRules, LiveEpisode
from active_perception_r1.utils.trace_parser import SYNTAXES

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig

ORACLE_MARGIN = 0.02  # Context around the evidence, in page units.


@dataclass(frozen=True, slots=True)
class ModeRules:
    """What sets a mode apart; see `EpisodeRules` for the first three."""

    tool: bool = False
    require_zoom: bool = False
    crop_content: CropContent = CropContent.REAL
    shows_evidence: bool = False


MODES: Mapping[Mode, ModeRules] = {
    Mode.BASELINE: ModeRules(),
    Mode.ACTIVE: ModeRules(tool=True),
    Mode.STRICT_ZOOM: ModeRules(tool=True, require_zoom=True),
    Mode.ORACLE: ModeRules(shows_evidence=True),
    Mode.BLANK_CROP: ModeRules(tool=True, crop_content=CropContent.BLANK),
    Mode.SHUFFLED_CROP: ModeRules(tool=True, crop_content=CropContent.SHUFFLED),
}


def episode_rules(mode: Mode, model: ModelConfig) -> EpisodeRules:
    """The rules of a mode for one model: its call syntax, prompts, budgets and limits."""
    rules = MODES[mode]
    syntax = SYNTAXES[model.zoom_syntax]
    offer = ZoomOffer(rules.tool, rules.require_zoom, syntax, model.max_zooms)
    return EpisodeRules(
        mode=mode,
        tool=rules.tool,
        require_zoom=rules.require_zoom,
        crop_content=rules.crop_content,
        syntax=syntax,
        prompts=PROMPT_SETS[model.prompts](offer),
        first_view=ViewRules(model.first_view.max_pixels, model.first_view.multiple),
        crop=CropRules(
            view=ViewRules(model.crop.max_pixels, model.crop.multiple),
            max_aspect=model.crop.max_aspect,
            min_area=model.crop.min_area,
            max_area=model.crop.max_area,
        ),
        max_zooms=model.max_zooms,
        max_turns=model.max_turns,
    )


def start_episode(
    sample: Sample, mode: Mode, rules: EpisodeRules, decoy: Sample | None = None
) -> LiveEpisode:
    """An episode at its first request; one already finished where there is no oracle to show.

    Args:
        decoy: a sample on another page, for `shuffled_crop`.

    Raises:
        DataError: an image cannot be decoded.
    """
    page = open_page(sample.image)
    if MODES[mode].shows_evidence and sample.evidence:
        opening = _oracle_view(page, sample.evidence, rules)
    else:
        opening = opening_view(sample.image, rules.first_view)
    shuffled = rules.crop_content is CropContent.SHUFFLED
    other = open_page(decoy.image) if shuffled and decoy is not None else None
    episode = LiveEpisode(sample.id, sample.question, page, opening, rules, other)
    if MODES[mode].shows_evidence and not sample.evidence:
        episode.abandon(ToolStatus.NO_EVIDENCE)
    return episode


def oracle_box(evidence: tuple[Evidence, ...]) -> Box:
    """The smallest box that shows one alternative (the first) of every part of the evidence."""
    first_of_label = {region.label: region.box for region in reversed(evidence)}
    return reduce(Box.union, first_of_label.values())


def _oracle_view(
    page: Image.Image, evidence: tuple[Evidence, ...], rules: EpisodeRules
) -> Image.Image:
    return evidence_view(page, oracle_box(evidence), ORACLE_MARGIN, rules.crop).image
