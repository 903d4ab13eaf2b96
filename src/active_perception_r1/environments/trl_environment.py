"""The episode as TRL's `environment_factory`, with the reward function that belongs to it.

TRL samples replies, takes the calls out of them, and puts what a call returns in front of the
model; what that is, and what all of it is worth, is the live episode's to say. Nothing here needs
TRL itself. Written for TRL 1.16, which tells an environment less than an episode would know:

- of a reply, only its calls, one after the other. Several calls in one reply are played as a turn
  each;
- not the last reply. TRL gives it to reward functions, so `episode_reward` ends the episodes;
- nothing of a call that TRL cannot make, such as one of an unknown function. TRL answers it
  itself, and it costs the model nothing.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from active_perception_r1.environments.questions import Questions
from active_perception_r1.errors import ConfigError
from active_perception_r1.records import Sample, ToolStatus
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.sim.function_calls import FunctionCall, reads_functions
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Message, Reply

Part = dict[str, Any]
"""Of a message: `{"type": "text", "text": ..}` or `{"type": "image", "image": ..}`."""

_OVER = "The episode is over."


def rows(questions: Questions) -> list[dict[str, Any]]:
    """A training set for TRL, a row for each question; the environment adds page and question."""
    system = questions.rules.prompts.system
    opening = [{"role": "system", "content": system}] if system else []
    prompt = [*opening, {"role": "user", "content": ""}]
    return [{"prompt": prompt, "index": index} for index in range(len(questions))]


def environment_factory(questions: Questions) -> Callable[[], ZoomEnvironment]:
    """What TRL's trainers take as `environment_factory`.

    Raises:
        ConfigError: the model's entry has calls or prompts that TRL's tool loop cannot play.
    """
    syntax, prompts = questions.rules.syntax, questions.rules.prompts
    if syntax.name == "zoom_roi":
        return partial(ZoomRoi, questions)
    if reads_functions(syntax) and prompts.tools and prompts.role == "tool":
        return partial(ImageZoomInTool, questions)
    raise ConfigError(
        f"zoom_syntax {syntax.name}, as its entry has it, cannot be played by TRL's tool loop: take"
        " zoom_roi, or qwen3_vl with prompts: native and its family"
    )


class ZoomEnvironment(ABC):
    """One rollout after the other; every public method but `reset` is a tool to TRL.

    Args:
        questions: that are asked.
    """

    _tool: ClassVar[str]

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._sample: Sample
        self._live: LiveEpisode
        self._played: list[str] = []

    def reset(self, index: int, **columns: Any) -> list[Part]:
        """Begin with the question at `index`; what is added to the row's last message."""
        self._sample = self._questions[index]
        self._live = self._questions.start(self._sample)
        self._played = []
        return list(_parts(self._live.request[-1:]))

    @staticmethod
    @abstractmethod
    def _written(**arguments: Any) -> str:
        """A call as the model wrote it."""

    def _called(self, **arguments: Any) -> list[Part]:
        """Play a call; what is shown for it."""
        if self._live.finished:
            return [{"type": "text", "text": _OVER}]
        asked_with = len(self._live.request)
        self._play(self._written(**arguments))
        if self._live.finished:
            return [{"type": "text", "text": _OVER}]
        return list(_parts(self._live.request[asked_with + 1 :]))  # after the reply itself

    def _play(self, call: str) -> None:
        self._played.append(call)
        self._live.receive(Reply(call, FinishReason.STOP))

    def _end(self, completion: Sequence[Mapping[str, Any]], complete: bool) -> Reward:
        """Hand over the last reply; what the episode is paid.

        Args:
            completion: all messages since the first prompt.
            complete: the last reply has its end token.
        """
        last = completion[-1]
        written = [call for message in completion for call in self._calls(message)]
        if self._calls(last) and len(written) == len(self._played):
            self._take_back(len(self._calls(last)))
        elif last["role"] == "assistant" and not self._live.finished:
            said = last["content"] + "".join(self._calls(last))
            reason = FinishReason.STOP if complete else FinishReason.LENGTH
            self._live.receive(Reply(said, reason))
        if not self._live.finished:  # No token was left, or no more calls than TRL was to make.
            self._live.abandon(ToolStatus.TRUNCATED)
        return self._questions.pay(self._live, self._sample)

    def _take_back(self, calls: int) -> None:
        """Play the episode again but for its last calls, which showed nothing after all.

        TRL takes back what the calls of a reply returned where no token is left to answer with.
        The first of them stays on record, since it was made.
        """
        kept = self._played[: len(self._played) - calls + 1]
        self._live, self._played = self._questions.start(self._sample), []
        for call in kept:
            self._play(call)

    def _calls(self, message: Mapping[str, Any]) -> list[str]:
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return [self._written(**call["arguments"]) for call in calls if call["name"] == self._tool]


class ZoomRoi(ZoomEnvironment):
    """With calls in our own syntax, which `trl_processor.offer_zoom_roi` makes functions of."""

    _tool = "zoom_roi"

    @staticmethod
    def _written(**arguments: Any) -> str:
        return str(arguments["call"])

    def zoom_roi(self, call: str) -> list[Part]:
        """Shows a region of the page enlarged.

        Args:
            call: The call as it was written, from `<zoom_roi` to `>`.
        """
        return self._called(call=call)


class ImageZoomInTool(ZoomEnvironment):
    """With the function that Qwen's models know."""

    _tool = "image_zoom_in_tool"

    @staticmethod
    def _written(**arguments: Any) -> str:
        return FunctionCall(ImageZoomInTool._tool, json.dumps(arguments)).text()

    def image_zoom_in_tool(
        self, bbox_2d: list[float], label: str = "", img_idx: int = 0
    ) -> list[Part]:
        """Shows a region of the image enlarged.

        Args:
            bbox_2d: The region as [x0, y0, x1, y1], top left and bottom right: 0 to 1000.
            label: What is looked for in the region.
            img_idx: The image that is zoomed into: 0, the page.
        """
        return self._called(bbox_2d=bbox_2d, label=label, img_idx=img_idx)


def episode_reward(end_tokens: Collection[int]) -> Callable[..., list[float]]:
    """A reward function for TRL, by which the environments' episodes end and are paid.

    Args:
        end_tokens: ids with which a reply is complete; one that ends otherwise was cut off, and
            says nothing that counts.
    """

    def episode_reward(
        completions: Sequence[Sequence[Mapping[str, Any]]],
        completion_ids: Sequence[Sequence[int]],
        environments: Sequence[ZoomEnvironment],
        **columns: Any,
    ) -> list[float]:
        return [
            environment._end(completion, bool(ids) and ids[-1] in end_tokens).reward
            for completion, ids, environment in zip(
                completions, completion_ids, environments, strict=True
            )
        ]

    return episode_reward


def _parts(messages: Sequence[Message]) -> Iterator[Part]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, str):
                yield {"type": "text", "text": part}
            else:
                yield {"type": "image", "image": part}
