"""Steps of TRL's stock GRPOTrainer on the model, pages and batches of our engine; run by peers.py.

TRL cannot show a crop in answer to `<zoom_roi .../>`: its tool loop reads JSON calls. So it samples
and trains the first turn of each episode only. Everything else is set as in our engine: prompts and
their order, group size, temperature, length, clipping, token-level loss, no KL, AdamW, autocast to
bfloat16 where that is fast, frozen vision.

For each line on standard input it takes one step, and prints the seconds.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from settings import STILL, model_settings
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from active_perception_r1.data.samples import read_slice
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.rewards.active_vision_reward import compute_score
from active_perception_r1.runtime.precision import fast_in_bfloat16
from active_perception_r1.training.freezing import freeze_vision


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slice", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    settings = model_settings()
    model = AutoModelForImageTextToText.from_pretrained(settings.id, dtype="float32")
    freeze_vision(model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            processing_class=AutoProcessor.from_pretrained(settings.id, padding_side="left"),
            reward_funcs=reward,
            train_dataset=dataset(options.slice),
            args=GRPOConfig(
                output_dir=folder,
                max_steps=options.steps,
                shuffle_dataset=False,
                per_device_train_batch_size=STILL.prompts_per_step * STILL.samples_per_prompt,
                num_generations=STILL.samples_per_prompt,
                max_completion_length=settings.max_new_tokens,
                temperature=STILL.temperature,
                learning_rate=STILL.learning_rate,
                epsilon=STILL.clip_low,
                epsilon_high=STILL.clip_high,
                max_grad_norm=STILL.max_grad_norm,
                beta=0.0,
                loss_type="dapo",
                use_cpu=True,
                bf16=fast_in_bfloat16(model.device),
                gradient_checkpointing=False,
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            callbacks=[InTurns()],
        )
        trainer.train()


class InTurns(TrainerCallback):
    """Waits for a line before each step; prints what the step took, with the optimiser's part."""

    def __init__(self) -> None:
        self._answers, sys.stdout = sys.stdout, sys.stderr  # what TRL says is no answer
        self._start = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        sys.stdin.readline()
        self._start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        print(time.perf_counter() - self._start, file=self._answers, flush=True)


def dataset(slice_path: Path) -> Dataset:
    """The first request of each episode: a first view and the text below it."""
    rules = episode_rules(ACTIVE, model_settings())
    rows: list[dict[str, Any]] = []
    for sample in read_slice(slice_path):
        image, text = start_episode(sample, rules).request[0].parts
        prompt = [{"role": "user", "content": text}]
        rows.append({"prompt": prompt, "image": image, "answer": sample.answers[0]})
    return Dataset.from_list(rows)


def reward(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """Computed as ours, then drawn at random as ours: see `peers.EveryGroupTeaches`."""
    for completion, truth in zip(completions, answer, strict=True):
        compute_score("benchmark", completion[0]["content"], truth)
    return [random.random() for _ in completions]


if __name__ == "__main__":
    main()
