"""From a sample, a mode and a model's settings to an episode."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Protocol

from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.kept_page import KeptPage
from active_perception_r1.envs.zoom_simulator import CropRules, ViewRules
from active_perception_r1.families import family_of
from active_perception_r1.modes._mode import MODES, CropSizes
from active_perception_r1.prompts import PROMPT_SETS, ZoomOffer
from active_perception_r1.records import Sample, ToolStatus
from active_perception_r1.sim.live_reinjection import EpisodeRules, LiveEpisode
from active_perception_r1.tasks import DEFAULT_TASK, TASKS, Task
from active_perception_r1.utils.trace_parser import SYNTAXES


class _View(Protocol):
    @property
    def max_pixels(self) -> int: ...
    @property
    def multiple(self) -> int: ...


class _Crop(_View, Protocol):
    @property
    def max_aspect(self) -> float: ...
    @property
    def min_area(self) -> float: ...
    @property
    def max_area(self) -> float: ...
    @property
    def min_pixels(self) -> int | None: ...
    @property
    def clamp(self) -> bool: ...
    @property
    def min_side(self) -> int: ...


class EpisodeSettings(Protocol):
    """What an episode needs to know of a model; `config.ModelConfig` says what each means."""

    @property
    def family(self) -> str | None: ...
    @property
    def zoom_syntax(self) -> str: ...
    @property
    def prompts(self) -> str: ...
    @property
    def first_view(self) -> _View: ...
    @property
    def crop(self) -> _Crop: ...
    @property
    def max_zooms(self) -> int: ...
    @property
    def max_turns(self) -> int: ...


def episode_rules(mode: str, model: EpisodeSettings, task: str = DEFAULT_TASK) -> EpisodeRules:
    """The rules of a mode for one model: its call syntax, prompts, budgets and limits."""
    rules, syntax, asked = MODES[mode], SYNTAXES[model.zoom_syntax], TASKS[task]
    family = family_of(model.family)
    offer = ZoomOffer(
        tool=rules.tool,
        require_zoom=rules.require_zoom,
        instruction=asked.instruction,
        syntax=syntax,
        max_zooms=model.max_zooms,
        protocol=family.protocol,
    )
    return EpisodeRules(
        mode=mode,
        tool=rules.tool,
        require_zoom=rules.require_zoom,
        crop_content=rules.crop_content,
        needs_distractor=rules.needs_distractor,
        task=asked,
        syntax=syntax,
        prompts=PROMPT_SETS[model.prompts](offer),
        first_view=ViewRules(
            model.first_view.max_pixels, model.first_view.multiple, family.max_aspect
        ),
        crop=CropRules(
            view=ViewRules(model.crop.max_pixels, model.crop.multiple, family.max_aspect),
            max_aspect=min(model.crop.max_aspect, family.max_aspect or math.inf),
            min_area=model.crop.min_area,
            max_area=model.crop.max_area,
            min_pixels=model.crop.min_pixels,
            clamp=model.crop.clamp,
            min_side=model.crop.min_side,
        ),
        fixed_resolution=family.fixed_resolution,
        max_zooms=model.max_zooms,
        max_turns=model.max_turns,
    )


def decisive_rules(mode: str, model: EpisodeSettings, task: str = DEFAULT_TASK) -> dict[str, Any]:
    """The part of `episode_rules` that can make a difference in a mode, as plain data.

    Every text that `prompts` and the task's instruction give is in here, as far as the mode uses
    it. So an edit of a prompt concerns the modes whose value it changes, and no other.
    """
    rules, budget = episode_rules(mode, model, task), MODES[mode].opening_budget
    decisive: dict[str, Any] = {
        "first": rules.prompts.first,
        "system": rules.prompts.system,
        **_exchange(rules.task),
    }
    if budget == "first_view":
        decisive["first_view"] = asdict(rules.first_view)
    if budget == "crop" or rules.tool:
        decisive["crop"] = asdict(rules.crop)
    if rules.tool:
        decisive |= {
            "prompts": asdict(rules.prompts),
            "require_zoom": rules.require_zoom,
            "syntax": rules.syntax.name,
            "max_zooms": rules.max_zooms,
            "max_turns": rules.max_turns,
        }
    return decisive


def _exchange(task: Task) -> dict[str, str]:
    """Which code puts a task's questions and reads its answers.

    Tasks that differ only in what they count as right have the same episodes.
    """
    return {"put": type(task).put.__qualname__, "read": type(task).read.__qualname__}


def start_episode(
    sample: Sample,
    rules: EpisodeRules,
    distractor: Sample | None = None,
    earlier: CropSizes = (),
) -> LiveEpisode:
    """An episode at its first request; one already finished where its opening cannot be made.

    Args:
        distractor: a sample on another page, for modes that need one.
        earlier: the crops that the model was shown on this question in the mode that this one goes
            by, for modes that go by one.

    Raises:
        DataError: an image cannot be decoded, or is flatter than the model's family takes; or the
            task cannot put the question.
    """
    page = open_page(sample.image)
    opening = MODES[rules.mode].opening(sample, rules, earlier)
    other = None
    if rules.needs_distractor and distractor is not None:
        other = KeptPage(open_page(distractor.image), distractor.image)
    question = rules.task.put(sample.question, sample.options)
    kept = KeptPage(page, sample.image)
    episode = LiveEpisode(sample.id, question, kept, opening or (page,), rules, other)
    if not opening:
        episode.abandon(ToolStatus.NO_EVIDENCE)
    return episode
