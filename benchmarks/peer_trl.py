"""Steps of TRL's stock GRPOTrainer on the model, pages and batches of our engine; run by peers.py.

Both turns of an episode go through TRL's own tool loop and our environment for it. Everything else
is set as in our engine: prompts and their order, group size, temperature, tokens of an episode,
clipping, token-level loss, no KL, AdamW, autocast to bfloat16 where that is fast, frozen vision.
TRL limits the tokens of an episode, not those of a reply.

For each line on standard input it takes one step, and prints the seconds, and those of the
processor.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets import Dataset
from measuring import Clock
from settings import STILL, model_settings
from transformers import AutoProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

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
from active_perception_r1.runtime.precision import fast_in_bfloat16
from active_perception_r1.training.freezing import freeze_vision

SHOWN = 48  # Tokens of a crop, and of the question after it.


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slice", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    settings = model_settings()
    questions = Questions(options.slice, settings)
    processor = AutoProcessor.from_pretrained(settings.id, padding_side="left")
    offer_zoom_roi(processor)
    one_row_an_image(processor)
    pay = episode_reward({processor.tokenizer.eos_token_id})

    def reward(**told: Any) -> list[float]:
        """Computed as ours, then drawn at random as ours: see `peers.EveryGroupTeaches`."""
        return [random.random() for _ in pay(**told)]

    model = Idefics3ForTrl.from_pretrained(settings.id, dtype="float32")
    freeze_vision(model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            processing_class=processor,
            reward_funcs=reward,
            train_dataset=Dataset.from_list(rows(questions)),
            environment_factory=environment_factory(questions),
            args=GRPOConfig(
                output_dir=folder,
                max_steps=options.steps,
                shuffle_dataset=False,
                per_device_train_batch_size=STILL.prompts_per_step * STILL.samples_per_prompt,
                num_generations=STILL.samples_per_prompt,
                max_completion_length=settings.max_turns * settings.max_new_tokens + SHOWN,
                max_tool_calling_iterations=settings.max_turns - 1,
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
        self._clock = Clock()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        sys.stdin.readline()
        self._clock = Clock()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        print(json.dumps(self._clock.read()), file=self._answers, flush=True)


if __name__ == "__main__":
    main()
