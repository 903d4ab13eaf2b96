"""The modes of evaluation: how a sample becomes an episode in each of them.

`start_episode` is the only place where anything derived from labels meets what a model is shown,
and only in `oracle`.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import reduce
from typing import TYPE_CHECKING, Any

from PIL import Image

from active_perception_r1.envs.zoom_simulator import (
    CropRules,
    ViewRules,
    evidence_view,
    open_page,
    opening_view,
)
from active_perception_r1.geometry import Box
from active_perception_r1.mode_rules import MODES
from active_perception_r1.prompts import PROMPT_SETS, ZoomOffer
from active_perception_r1.records import CropContent, Evidence, Mode, Sample, ToolStatus
from active_perception_r1.sim.live_reinjection import EpisodeRules, LiveEpisode
from active_perception_r1.utils.trace_parser import SYNTAXES

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig

ORACLE_MARGIN = 0.02  # Context around the evidence, in page units.


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


def decisive_rules(mode: Mode, model: ModelConfig) -> dict[str, Any]:
    """The part of `episode_rules` that can make a difference in a mode, as plain data.

    Everything that `prompts` and `mode_rules` define is in here, as far as the mode uses it. So
    episodes depend on those modules through this value only, and an edit there concerns the modes
    whose value it changes.
    """
    rules, evidence = episode_rules(mode, model), MODES[mode].shows_evidence
    decisive: dict[str, Any] = {"first": rules.prompts.first, "shows_evidence": evidence}
    if not evidence:  # An oracle without evidence is not run.
        decisive["first_view"] = asdict(rules.first_view)
    if evidence or rules.tool:
        decisive["crop"] = asdict(rules.crop)
    if rules.tool:
        decisive |= {
            "prompts": asdict(rules.prompts),
            "require_zoom": rules.require_zoom,
            "crop_content": rules.crop_content,
            "syntax": rules.syntax.name,
            "max_zooms": rules.max_zooms,
            "max_turns": rules.max_turns,
        }
    return decisive


def start_episode(
    sample: Sample, mode: Mode, rules: EpisodeRules, distractor: Sample | None = None
) -> LiveEpisode:
    """An episode at its first request; one already finished where there is no oracle to show.

    Args:
        distractor: a sample on another page, for `shuffled_crop`.

    Raises:
        DataError: an image cannot be decoded.
    """
    page = open_page(sample.image)
    if MODES[mode].shows_evidence and sample.evidence:
        opening = _oracle_view(page, sample.evidence, rules)
    else:
        opening = opening_view(sample.image, rules.first_view)
    shuffled = rules.crop_content is CropContent.SHUFFLED
    other = open_page(distractor.image) if shuffled and distractor is not None else None
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
