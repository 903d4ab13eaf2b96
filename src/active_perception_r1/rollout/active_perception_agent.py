"""The episode inside verl 0.9.1: one coroutine for each rollout, the same `LiveEpisode` as ever.

The only module that imports verl. verl makes a new object for every rollout and passes to `run` the
columns of the row; what is costly is kept for the process.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput
from verl.utils.profiler import simple_timer

from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.data.samples import SampleFile
from active_perception_r1.errors import DataError
from active_perception_r1.families import family_of
from active_perception_r1.models.chat import reply_text
from active_perception_r1.models.weights import image_options
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Sample
from active_perception_r1.rollout.chat_tokens import ChatTokens
from active_perception_r1.rollout.episode_tally import EpisodeTally
from active_perception_r1.rollout.trajectory import (
    Budget,
    Completion,
    Trajectory,
    run_dialogue,
)
from active_perception_r1.sim.live_reinjection import EpisodeRules
from active_perception_r1.sim.messages import Request

NEVER = -100.0  # vLLM's strongest bias against a token.
# What the run's temperature leaves open, as vLLM calls it: nothing else bends the probabilities.
NEUTRAL = {"min_p": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


class ActivePerceptionZoomAgentLoop(AgentLoopBase):  # type: ignore[misc]  # verl has no types
    """Runs one episode: zooms are cut from the original page and put in front of the policy.

    An episode that fails is noted in the log of `episodes`: verl goes on without it.

    Args:
        settings: JSON of the base model's entry in the configuration.
        samples: the training questions with their pages, from `grpo-data`. Pages are read from
            there when they are needed, so that they travel through no queue.
        task: of the study, by name.
        episodes: folder in which every episode leaves its line.
    """

    def __init__(
        self, *args: Any, settings: str, samples: str, task: str, episodes: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.settings, self._rules = _settings(settings), functools.partial(_rules, settings, task)
        self._samples = _samples(samples)
        self._episodes = Path(episodes)
        self.image_options = image_options(self.settings, self.processor.image_processor)

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        drop_images(kwargs["raw_prompt"])
        step, about = int(kwargs["global_steps"]), kwargs["extra_info"]
        metrics: dict[str, float] = {}
        try:
            sample = self._samples[int(about["index"])]
            trajectory = await self.play(sample, about["mode"], sampling_params, metrics)
        except Exception as error:
            log = EpisodeTally.of(self._episodes, bool(about["validation"]))
            log.failed(step, str(about["id"]), error)
            raise
        return _output(trajectory, metrics, step, self.image_options)

    async def play(
        self,
        sample: Sample,
        mode: str,
        sampling_params: dict[str, Any],
        metrics: dict[str, float],
    ) -> Trajectory:
        """One episode; the time that its replies took is added to `metrics`."""
        return await run_dialogue(
            start_episode(sample, self._rules(mode)),
            _VerlDialogue(self, sampling_params, metrics),
            Budget(self.settings.max_new_tokens, self.rollout_config.response_length),
            self.settings.id,
            "",
        )


class _VerlDialogue:
    """`trajectory.Dialogue` by verl's rollout server; the tokens are those of `ChatTokens`."""

    def __init__(
        self,
        loop: ActivePerceptionZoomAgentLoop,
        sampling: dict[str, Any],
        metrics: dict[str, float],
    ) -> None:
        self._loop = loop
        vision = _vision_tokens(loop.tokenizer)
        # A span without an image would misalign every later one. Of no consequence for a trained
        # model's probabilities.
        self._sampling = {**NEUTRAL, **sampling, "logit_bias": dict.fromkeys(vision, NEVER)}
        self._request_id = uuid4().hex  # one server for all turns: its prefix cache is warm
        self._tokens = ChatTokens(loop.processor, loop.settings, loop.image_options)
        family = loop.settings.family
        self._marks = family_of(family).marks
        self._metrics = metrics
        self.ends = _end_tokens(loop.tokenizer)

    async def open(self, request: Request) -> list[int]:
        ids = await self._in_thread(self._tokens.opening, request)
        limit = self._loop.rollout_config.prompt_length
        if len(ids) > limit:
            raise DataError(f"the prompt has {len(ids)} tokens, max_prompt_tokens is {limit}")
        return ids

    async def generate(
        self, ids: list[int], images: Sequence[Image.Image], max_tokens: int
    ) -> Completion:
        with simple_timer("generate_sequences", self._metrics):
            output = await self._loop.server_manager.generate(
                request_id=self._request_id,
                prompt_ids=ids,
                sampling_params={**self._sampling, "max_tokens": max_tokens},
                image_data=list(images),
            )
        return Completion(output.token_ids, output.log_probs, output.extra_fields)

    async def observe(self, before: Request, after: Request, end: int) -> list[int]:
        return await self._in_thread(self._tokens.following, before, after, end)

    def decode(self, ids: Sequence[int]) -> str:
        return reply_text(self._loop.tokenizer, ids, self._marks)

    async def _in_thread(self, function: Callable[..., list[int]], *args: Any) -> list[int]:
        """The other episodes of the process go on while images are resized."""
        ids: list[int] = await self._loop.loop.run_in_executor(None, function, *args)
        return ids


def drop_images(messages: Sequence[dict[str, Any]]) -> None:
    """Free the images of verl's copy of the prompt, which it would keep until the step is done."""
    for message in messages:
        if not isinstance(message["content"], str):
            message["content"] = [
                part if part.get("type") == "text" else {"type": "text", "text": "<image>"}
                for part in message["content"]
            ]


def _output(
    trajectory: Trajectory, metrics: dict[str, float], step: int, image_options: dict[str, Any]
) -> AgentLoopOutput:
    """verl's form of a trajectory; `extra_fields` reach the reward as part of `extra_info`."""
    episode = trajectory.episode
    return AgentLoopOutput(
        prompt_ids=trajectory.prompt,
        response_ids=trajectory.response,
        response_mask=trajectory.mask,
        response_logprobs=trajectory.log_probs or None,
        multi_modal_data={"images": list(trajectory.images)},
        mm_processor_kwargs=image_options,
        num_turns=2 * len(episode.turns),
        metrics=metrics,
        extra_fields={
            **trajectory.extra,
            "policy_turns": [turn.text for turn in episode.turns],
            "tool_trace": json.dumps([asdict(zoom) for zoom in episode.steps]),
            "episode": episode.to_json(),
            "final_answer": episode.answer,
            "tool_status": str(episode.tool_status),
            "over_long": trajectory.over_long,
            "image_count": len(trajectory.images),
            "global_step": step,
            "turn_scores": [],
            "tool_rewards": [],
        },
    )


@functools.cache
def _settings(settings: str) -> ModelConfig:
    model: ModelConfig = parse_section(ModelConfig, settings)
    return model


@functools.cache
def _rules(settings: str, task: str, mode: str) -> EpisodeRules:
    return episode_rules(mode, _settings(settings), task)


@functools.cache
def _samples(path: str) -> SampleFile:
    return SampleFile(Path(path))


def _vision_tokens(tokenizer: Any) -> list[int]:
    """Of Qwen2-VL and Qwen2.5-VL; other models lack them."""
    names = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>")
    ids = tokenizer.convert_tokens_to_ids([*names, "<|video_pad|>"])
    return [id for id in ids if id is not None and id != tokenizer.unk_token_id]


def _end_tokens(tokenizer: Any) -> frozenset[int]:
    """The end of a turn, and of a text where that is another token."""
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|endoftext|>")}
    return frozenset(end for end in ends if isinstance(end, int) and end != tokenizer.unk_token_id)
