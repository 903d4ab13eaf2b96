"""TRL plays the episodes of the pipeline: through its own tool loop, reward calls and steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import AutoProcessor
from trl import GRPOConfig, GRPOTrainer, chat_template_utils

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.environments.questions import Questions
from active_perception_r1.environments.trl_environment import (
    environment_factory,
    episode_reward,
    rows,
)
from active_perception_r1.environments.trl_processor import (
    Idefics3ForTrl,
    offer_zoom_roi,
    one_row_an_image,
)
from active_perception_r1.modes import ORACLE, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.rewards import active_vision_reward
from active_perception_r1.rewards.active_vision_reward import trl_reward
from active_perception_r1.sim.function_calls import FunctionCall
from tests.families import _tokenizer
from tests.trainers import REPOSITORY

GENERATIONS = 2  # The least that TRL takes; greedily, both are the same.


@dataclass(frozen=True)
class Rollout:
    """What TRL told the reward function of one completion."""

    texts: tuple[str, ...]
    episode: Episode
    reward: float


def train(
    folder: Path,
    settings: ModelConfig,
    processor: Any,
    dataset: list[dict[str, Any]],
    rewards: Callable[..., list[float]] | list[Callable[..., list[float]]],
    **options: Any,
) -> GRPOTrainer:
    """One greedy step over the whole dataset, which leaves the weights as they are."""
    budget = options.pop("max_completion_length", 96)
    trainer = GRPOTrainer(
        model=Idefics3ForTrl.from_pretrained(settings.id, dtype="float32"),
        processing_class=processor,
        train_dataset=Dataset.from_list(dataset),
        reward_funcs=rewards,
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=1,
            per_device_train_batch_size=GENERATIONS * len(dataset),
            num_generations=GENERATIONS,
            max_completion_length=budget,
            max_tool_calling_iterations=settings.max_turns - 1,
            top_k=1,
            learning_rate=0.0,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
        ),
        **options,
    )
    trainer.train()
    return trainer


@pytest.fixture
def processor(settings: ModelConfig) -> Any:
    processor = AutoProcessor.from_pretrained(settings.id, padding_side="left")
    offer_zoom_roi(processor)
    one_row_an_image(processor)
    return processor


def replies(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """The model's own replies among the tokens of a completion."""
    first, *others = tokenizer.decode(ids).split("<|im_start|>")
    own = [first, *(text.removeprefix("assistant\n") for text in others if "assistant" in text)]
    return tuple(text.removesuffix("\n").removesuffix("<|im_end|>") for text in own)


@pytest.fixture
def play(
    settings: ModelConfig, processor: Any, slice_path: Path, tmp_path: Path
) -> Callable[..., list[list[Rollout]]]:
    """The rollouts of each question, in TRL's own loop."""

    def run(**options: Any) -> list[list[Rollout]]:
        questions = Questions(slice_path, settings)
        pay = episode_reward({processor.tokenizer.eos_token_id})
        seen: list[list[Rollout]] = [[] for _ in range(len(questions))]

        def recorded(**told: Any) -> list[float]:
            rewards = pay(**told)
            for index, ids, environment, reward in zip(
                told["index"], told["completion_ids"], told["environments"], rewards, strict=True
            ):
                episode = environment._live.record("", "", 0)
                texts = replies(processor.tokenizer, ids)
                seen[index].append(Rollout(texts, episode, reward))
            return rewards

        factory = environment_factory(questions)
        dataset = rows(questions)
        train(
            tmp_path, settings, processor, dataset, recorded, environment_factory=factory, **options
        )
        assert {len(rollouts) for rollouts in seen} == {GENERATIONS}
        return seen

    return run


@pytest.fixture
def samples(slice_path: Path) -> list[Sample]:
    return list(read_slice(slice_path))


def test_the_shipped_model_writes_the_turns_of_the_predictions_in_trls_tool_loop(
    play: Callable[..., list[list[Rollout]]], predictions: list[Episode], samples: list[Sample]
) -> None:
    for rollouts, prediction, sample in zip(play(), predictions, samples, strict=True):
        reward = active_vision_reward.episode_reward(prediction, sample).reward
        for rollout in rollouts:
            assert rollout.texts == tuple(turn.text for turn in prediction.turns)
            assert [turn.prompt_id for turn in rollout.episode.turns] == [
                turn.prompt_id for turn in prediction.turns
            ]
            assert rollout.episode.steps == prediction.steps
            assert rollout.episode.answer == prediction.answer
            assert rollout.episode.tool_status == prediction.tool_status
            assert rollout.reward == pytest.approx(reward)


def test_a_crop_for_which_no_token_was_left_was_not_seen(
    play: Callable[..., list[list[Rollout]]], predictions: list[Episode]
) -> None:
    """TRL takes back what a call returned; so the episode must not count it either."""
    for rollouts, prediction in zip(play(max_completion_length=20), predictions, strict=True):
        if len(prediction.turns) > 1:
            for rollout in rollouts:
                assert rollout.texts == (prediction.turns[0].text,)
                assert rollout.episode.tool_status == "truncated"
                assert not any(step.shown for step in rollout.episode.steps)


def test_a_reply_that_was_cut_off_says_nothing_that_counts(
    play: Callable[..., list[list[Rollout]]],
) -> None:
    for rollouts in play(max_completion_length=3):
        for rollout in rollouts:
            assert rollout.episode.tool_status == "truncated"
            assert rollout.episode.answer is None


def test_trl_calls_trl_reward_with_the_columns_of_a_plain_dataset(
    settings: ModelConfig, samples: list[Sample], tmp_path: Path
) -> None:
    """Of single replies, here to the evidence itself, so that many are right."""
    rules = episode_rules(ORACLE, settings)
    dataset = []
    for sample in samples:
        image, text = start_episode(sample, rules).request[0].parts
        region = sample.evidence[0].box
        box = [region.x0, region.y0, region.x1, region.y1]
        columns = {"ground_truth": list(sample.answers), "evidence": [{"box": box}]}
        prompt = [{"role": "user", "content": text}]
        dataset.append({"prompt": prompt, "image": image, **columns, "requires_zoom": True})

    def by_hand(completions: list[Any], ground_truth: list[list[str]], **_: Any) -> list[float]:
        """No look where one is needed: half of the process's weight is lost, right or wrong."""
        said = [completion[0]["content"] for completion in completions]
        right = [
            text == f"<answer>{truth}</answer>"
            for text, (truth,) in zip(said, ground_truth, strict=True)
        ]
        return [1 - 0.35 / 2 if correct else -0.10 / 2 for correct in right]

    plain = AutoProcessor.from_pretrained(settings.id, padding_side="left")
    trainer = train(tmp_path, settings, plain, dataset, [trl_reward, by_hand])
    (log,) = [log for log in trainer.state.log_history if "reward" in log]
    assert log["rewards/by_hand/mean"] > 0.5
    assert log["rewards/trl_reward/mean"] == pytest.approx(log["rewards/by_hand/mean"], abs=1e-6)
    assert log["rewards/trl_reward/std"] == pytest.approx(log["rewards/by_hand/std"], abs=1e-6)


def test_a_call_in_qwens_words_reaches_the_episode(settings: ModelConfig, slice_path: Path) -> None:
    """As TRL reads it by its own template for Qwen3-VL, with the function as it declares it."""
    native = {"family": "qwen3_vl", "zoom_syntax": "qwen3_vl", "prompts": "native"}
    environment = environment_factory(Questions(slice_path, settings.model_copy(update=native)))()
    environment.reset(index=0)
    tokenizer = _tokenizer("<|im_end|>", ["<|im_start|>"])
    tokenizer.chat_template = chat_template_utils.qwen3_vl_chat_template
    chat_template_utils.add_response_schema(tokenizer)
    asked = [{"role": "user", "content": "?"}]
    tools = [environment.image_zoom_in_tool]
    options = {"add_generation_prompt": True, "tools": tools, "return_dict": False}
    prompt = tokenizer.apply_chat_template(asked, **options)
    assert '"image_zoom_in_tool"' in tokenizer.decode(prompt)
    call = {"bbox_2d": [400, 400, 700, 600], "label": "total", "img_idx": 0}
    written = FunctionCall("image_zoom_in_tool", json.dumps(call)).text()
    ids = tokenizer(written + "<|im_end|>")["input_ids"]
    parsed = chat_template_utils.parse_response(tokenizer, ids, prefix=prompt, tools=tools)
    (function,) = [call["function"] for call in parsed["tool_calls"]]
    shown = getattr(environment, function["name"])(**function["arguments"])
    assert "image" in shown[0]
    assert environment._live.request[-1].role == "tool"


def test_the_example_makes_two_steps(slice_path: Path) -> None:
    command = [sys.executable, "examples/trl_grpo.py", "--questions", str(slice_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert steps[-2:] == ["step 1", "step 2"]
