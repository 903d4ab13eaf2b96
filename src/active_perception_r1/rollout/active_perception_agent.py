"""The episode inside verl 0.9.1: one coroutine for each rollout, the same `LiveEpisode` as ever.

The only module that imports verl. verl makes a new object for every rollout and passes to `run` the
columns of the row; what is costly is kept for the process.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput
from verl.utils.profiler import simple_timer

from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.data.samples import SampleFile
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.rollout.trajectory import (
    Budget,
    Completion,
    Tokens,
    Trajectory,
    run_dialogue,
)
from active_perception_r1.sim.live_reinjection import EpisodeRules
from active_perception_r1.sim.messages import Request

NEVER = -100.0  # vLLM's strongest bias against a token.


class ActivePerceptionZoomAgentLoop(AgentLoopBase):  # type: ignore[misc]  # verl has no types
    """Runs one episode: zooms are cut from the original page and put in front of the policy.

    Args:
        settings: JSON of the base model's entry in the configuration.
        samples: the training questions with their pages, from `grpo-data`. Pages are read from
            there when they are needed, so that they travel through no queue.
        task: of the study, by name.
    """

    def __init__(self, *args: Any, settings: str, samples: str, task: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings, self._rules = _rules(settings, task)
        self._samples = _samples(samples)

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        drop_images(kwargs["raw_prompt"])
        sample = self._samples[int(kwargs["extra_info"]["index"])]
        dialogue = _VerlDialogue(self, sampling_params)
        budget = Budget(self._settings.max_new_tokens, self.rollout_config.response_length)
        trajectory = await run_dialogue(
            start_episode(sample, self._rules),
            dialogue,
            budget,
            self._settings.id,
            "",
        )
        return _output(trajectory, dialogue.metrics, int(kwargs.get("global_steps", -1)))


class _VerlDialogue:
    """`trajectory.Dialogue` by verl's continuous-token helpers and its rollout server."""

    def __init__(self, loop: AgentLoopBase, sampling: dict[str, Any]) -> None:
        self._loop = loop
        vision = _vision_tokens(loop.tokenizer)
        # A span without an image would misalign every later one. Of no consequence for a trained
        # model's probabilities.
        self._sampling = {**sampling, "logit_bias": dict.fromkeys(vision, NEVER)}
        self._request_id = uuid4().hex  # one server for all turns: its prefix cache is warm
        self.ends = _end_tokens(loop.tokenizer)
        self.metrics: dict[str, float] = {}

    async def open(self, request: Request) -> Tokens:
        images = [image for message in request for image in message.images]
        self._loop._assert_mm_supported(bool(images))
        return Tokens(await self._loop.ct_build_initial_tokens(_chat(request), images=images))

    async def generate(
        self, ids: list[int], images: Sequence[Image.Image], max_tokens: int
    ) -> Completion:
        with simple_timer("generate_sequences", self.metrics):
            output = await self._loop.server_manager.generate(
                request_id=self._request_id,
                prompt_ids=ids,
                sampling_params={**self._sampling, "max_tokens": max_tokens},
                image_data=list(images),
            )
        return Completion(output.token_ids, output.log_probs, output.extra_fields)

    async def add_reply(self, tokens: Tokens, completion: Completion) -> Tokens:
        known = tokens.log_probs if completion.log_probs else None
        merged, mask, log_probs = await self._loop.ct_merge_assistant_token(
            tokens.ids, completion.ids, tokens.mask, known, assistant_logprobs=completion.log_probs
        )
        return Tokens(merged.token_ids, mask, log_probs or [])

    async def add_observation(self, tokens: Tokens, before: Request, after: Request) -> Tokens:
        reply = after[len(before)]  # the model's own message is in the sequence already
        merged, mask, log_probs = await self._loop.ct_merge_context_msg(
            _chat((*before, reply)),
            _chat(after),
            tokens.ids,
            tokens.mask,
            tokens.log_probs or None,
        )
        return Tokens(merged.token_ids, mask, log_probs or [])

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._loop.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def drop_images(messages: Sequence[dict[str, Any]]) -> None:
    """Free the images of verl's copy of the prompt, which it would keep until the step is done."""
    for message in messages:
        if not isinstance(message["content"], str):
            message["content"] = [
                part if part.get("type") == "text" else {"type": "text", "text": "<image>"}
                for part in message["content"]
            ]


def _chat(request: Request) -> list[dict[str, Any]]:
    """A request as the chat template takes it."""
    return [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image", "image": part}
                for part in message.parts
            ],
        }
        for message in request
    ]


def _output(trajectory: Trajectory, metrics: dict[str, float], step: int) -> AgentLoopOutput:
    """verl's form of a trajectory; `extra_fields` reach the reward as part of `extra_info`."""
    episode = trajectory.episode
    return AgentLoopOutput(
        prompt_ids=trajectory.prompt,
        response_ids=trajectory.response,
        response_mask=trajectory.mask,
        response_logprobs=trajectory.log_probs or None,
        multi_modal_data={"images": list(trajectory.images)},
        num_turns=2 * len(episode.turns),
        metrics=metrics,
        extra_fields={
            **trajectory.extra,
            "policy_turns": [turn.text for turn in episode.turns],
            "tool_trace": json.dumps([asdict(zoom) for zoom in episode.steps]),
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
def _rules(settings: str, task: str) -> tuple[ModelConfig, EpisodeRules]:
    model: ModelConfig = parse_section(ModelConfig, settings)
    return model, episode_rules(ACTIVE, model, task)


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
