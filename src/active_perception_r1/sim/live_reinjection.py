"""The episode: one conversation about one page, with crops put back in front of the model.

`LiveEpisode` is a pure state machine without a model: it asks (`request`), is told (`receive`),
and is either `finished` or asks again. Batch inference, verl and the local trainer all drive it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from PIL import Image

from active_perception_r1.envs.kept_page import KeptPage
from active_perception_r1.envs.zoom_simulator import (
    Crop,
    CropRules,
    Refusal,
    ViewRules,
    allowed,
    cut,
)
from active_perception_r1.geometry import Box, is_redundant
from active_perception_r1.records import Action, Episode, Step, ToolStatus, Turn
from active_perception_r1.sim.conversation import Prompts
from active_perception_r1.sim.marks import data_as_text, reply_as_text
from active_perception_r1.sim.messages import FinishReason, Message, Reply, Request, request_id
from active_perception_r1.tasks import Task
from active_perception_r1.utils.trace_parser import Frame, Syntax, parse_actions


@dataclass(frozen=True, slots=True)
class Pages:
    """Where the pixels may come from that a control shows in place of a crop.

    Attributes:
        page: that of the episode, at full resolution.
        distractor: another one, if the rules need it.
        draw: a text that no other zoom has, to seed what is drawn for this one.
    """

    page: Image.Image
    distractor: Image.Image | None
    draw: str


CropContent: TypeAlias = Callable[[Crop, Pages], Image.Image | None]
"""What is shown for an executed zoom, of the crop's size; None where no image is to come."""


def real_pixels(crop: Crop, pages: Pages) -> Image.Image:
    """What was asked for."""
    return crop.image


@dataclass(frozen=True, slots=True)
class EpisodeRules:
    """How an episode is run.

    Attributes:
        tool: zoom calls are executed; without it they are text like any other.
        require_zoom: fail-closed: an answer counts only after an executed and shown zoom, and the
            first call that fails ends the episode as that tool failure.
        crop_content: the pixels put in front of the model for an executed zoom.
        needs_distractor: `crop_content` takes them from another page.
        task: what the question asks for, and how an answer is read.
        fixed_resolution: see `Family`.
        max_zooms: executed zooms in an episode.
        max_turns: replies of the model in an episode; a zoom in the last one is over the limit,
            since its crop could not be shown.
    """

    mode: str
    tool: bool
    require_zoom: bool
    crop_content: CropContent
    needs_distractor: bool
    task: Task
    syntax: Syntax
    prompts: Prompts
    first_view: ViewRules
    crop: CropRules
    fixed_resolution: bool
    max_zooms: int
    max_turns: int


@dataclass(frozen=True, slots=True)
class _Executed:
    """A zoom into `box`, and what the model is shown for it."""

    box: Box
    image: Image.Image | None


class LiveEpisode:
    """An episode in progress.

    Args:
        page: the page at full resolution.
        views: the images shown first; the size of the first is the frame of view-pixel syntaxes.
        question: as the task puts it.
        distractor: another page, if the rules need one.
    """

    def __init__(
        self,
        sample_id: str,
        question: str,
        page: KeptPage,
        views: Sequence[Image.Image],
        rules: EpisodeRules,
        distractor: KeptPage | None = None,
    ) -> None:
        if rules.needs_distractor and distractor is None:
            raise ValueError(f"mode {rules.mode} needs a distractor page")
        self.sample_id = sample_id
        question = data_as_text(question)
        self._question = question
        self._page = page
        self._distractor = distractor
        self._rules = rules
        self._frame = Frame(page.size, views[0].size)
        self._messages = rules.prompts.opening(views, question, page.size)
        self._turns: list[Turn] = []
        self._steps: list[Step] = []
        self._answer: str | None = None
        self._status: ToolStatus | None = None
        self._error = ""

    @property
    def finished(self) -> bool:
        return self._status is not None

    @property
    def request(self) -> Request:
        """The conversation so far, for the model to continue."""
        return tuple(self._messages)

    @property
    def turns(self) -> Sequence[Turn]:
        """The model's replies so far."""
        return tuple(self._turns)

    def receive(self, reply: Reply) -> None:
        """Take the model's reply to `request` and move on.

        Raises:
            RuntimeError: the episode is finished.
        """
        if self.finished:
            raise RuntimeError(f"episode of sample {self.sample_id} is finished")
        if reply.error:
            self._finish(ToolStatus.BACKEND_ERROR, error=reply.error)
            return
        # The model has answered a request that held every crop so far, so it has seen them.
        self._steps = [replace(step, shown=step.crop_size is not None) for step in self._steps]
        self._turns.append(
            Turn(
                prompt_id=request_id(self._messages),
                text=reply.text,
                finish_reason=reply.finish_reason,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
                seconds=reply.seconds,
                visual_tokens=reply.visual_tokens,
                visual_tokens_estimated=reply.visual_tokens_estimated,
            )
        )
        if reply.finish_reason is FinishReason.LENGTH:
            self._finish(ToolStatus.TRUNCATED)
            return
        rules = self._rules
        actions = self._calls(reply.text) if rules.tool else ()
        if actions:
            self._zoom(reply.text, actions)
        else:
            self._take_answer(rules.task.read(reply.text))

    def abandon(self, status: ToolStatus, error: str = "") -> None:
        """End the episode without an answer, for a reason that is not the model's."""
        self._finish(status, error=error)

    def record(self, model: str, model_revision: str, seed: int) -> Episode:
        """The finished episode.

        Raises:
            RuntimeError: it is not finished.
        """
        if self._status is None:
            raise RuntimeError(f"episode of sample {self.sample_id} is not finished")
        return Episode(
            sample_id=self.sample_id,
            mode=self._rules.mode,
            model=model,
            model_revision=model_revision,
            seed=seed,
            turns=tuple(self._turns),
            steps=tuple(self._steps),
            answer=self._answer,
            tool_status=self._status,
            error=self._error,
        )

    @property
    def _zooms_left(self) -> int:
        if len(self._turns) >= self._rules.max_turns:
            return 0
        executed = sum(step.executed is not None for step in self._steps)
        return self._rules.max_zooms - executed

    def _zoom(self, text: str, actions: Sequence[Action]) -> None:
        outcomes: list[Image.Image | str | None] = []
        for action in actions:
            outcome = self._execute(action)
            self._steps.append(self._step(action, outcome))
            if isinstance(outcome, _Executed):
                outcomes.append(outcome.image)
                continue
            outcomes.append(data_as_text(outcome.reason))  # It may quote the model.
            if self._rules.require_zoom:
                self._finish(outcome.status)
                return
        if len(self._turns) >= self._rules.max_turns:
            self._finish(self._steps[-1].status)
            return
        last_turn_is_next = len(self._turns) + 1 >= self._rules.max_turns
        zooms_left = 0 if last_turn_is_next else self._zooms_left
        self._messages.append(Message("assistant", (reply_as_text(text),)))
        self._messages += self._rules.prompts.observations(outcomes, self._question, zooms_left)

    def _calls(self, text: str) -> tuple[Action, ...]:
        crops = [step.executed for step in self._steps if step.executed is not None]
        return parse_actions(text, self._rules.syntax, self._frame, crops)

    def _execute(self, action: Action) -> _Executed | Refusal:
        if action.box is None:
            return Refusal(action.fault or ToolStatus.MALFORMED_ZOOM, action.reason)
        crop = self._rules.crop
        wanted = allowed(action.box, crop.min_area, crop.max_area, crop.clamp)
        if isinstance(wanted, Refusal):
            return wanted
        # The limit comes last: else a useless zoom before it would make a faulty call cheaper.
        if self._zooms_left <= 0:
            return Refusal(ToolStatus.ZOOM_LIMIT_REACHED, "no zoom is left")
        page, other = self._page.image, self._distractor
        asked = cut(page, wanted, crop)
        draw = f"{self.sample_id} {len(self._steps)}"
        pages = Pages(page, other.image if other else None, draw)
        return _Executed(asked.box, self._rules.crop_content(asked, pages))

    def _step(self, action: Action, outcome: _Executed | Refusal) -> Step:
        step = Step(
            turn=len(self._turns) - 1,
            syntax=action.syntax,
            raw=action.raw,
            status=ToolStatus.ZOOM_EXECUTED,
            requested=action.box,
        )
        if isinstance(outcome, Refusal):
            return replace(step, status=outcome.status, reason=outcome.reason)
        earlier = [other.executed for other in self._steps if other.executed is not None]
        return replace(
            step,
            executed=outcome.box,
            crop_size=None if outcome.image is None else outcome.image.size,
            redundant=is_redundant(outcome.box, earlier),
        )

    def _take_answer(self, answer: str | None) -> None:
        zoomed = any(step.shown for step in self._steps)
        if answer is None:
            self._finish(ToolStatus.NO_ANSWER)
        elif self._rules.require_zoom and not zoomed:
            self._finish(ToolStatus.ANSWERED_WITHOUT_ZOOM)
        elif self._rules.tool and not zoomed:
            self._finish(ToolStatus.ANSWERED_WITHOUT_ZOOM, answer)
        else:
            self._finish(ToolStatus.ANSWERED, answer)

    def _finish(self, status: ToolStatus, answer: str | None = None, error: str = "") -> None:
        self._status, self._answer, self._error = status, answer, error
