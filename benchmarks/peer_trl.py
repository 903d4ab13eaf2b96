"""Steps of TRL's stock GRPOTrainer on the model, pages and batch of our engine; run by peers.py.

TRL cannot show a crop in answer to `<zoom_roi .../>`: its tool loop reads JSON calls. So it samples
and trains the first turn of each episode only. Everything else is set as in our engine: prompts,
group size, temperature, clipping, token-level loss, no KL, AdamW, bf16 autocast, frozen vision.
Prints the seconds of each step as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from datasets import Dataset
from settings import RUN, model_settings
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer

from active_perception_r1.data.samples import read_slice
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Mode
from active_perception_r1.rewards.active_vision_reward import compute_score
from active_perception_r1.training.grpo import freeze_vision


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
                per_device_train_batch_size=RUN.prompts_per_step * RUN.samples_per_prompt,
                num_generations=RUN.samples_per_prompt,
                max_completion_length=settings.max_new_tokens,
                temperature=RUN.temperature,
                learning_rate=RUN.learning_rate,
                epsilon=RUN.clip_low,
                epsilon_high=RUN.clip_high,
                max_grad_norm=RUN.max_grad_norm,
                beta=0.0,
                loss_type="dapo",
                use_cpu=True,
                bf16=True,
                gradient_checkpointing=False,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
        )
        trainer.train()
    times = [line["step_time"] for line in trainer.state.log_history if "step_time" in line]
    print(json.dumps(times))


def dataset(slice_path: Path) -> Dataset:
    """The first request of each episode: a first view and the text below it."""
    rules = episode_rules(Mode.ACTIVE, model_settings())
    rows: list[dict[str, Any]] = []
    for sample in read_slice(slice_path):
        image, text = start_episode(sample, Mode.ACTIVE, rules).request[0].parts
        prompt = [{"role": "user", "content": text}]
        rows.append({"prompt": prompt, "image": image, "answer": sample.answers[0]})
    return Dataset.from_list(rows)


def reward(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    texts = [completion[0]["content"] for completion in completions]
    return [
        float(compute_score("benchmark", text, truth)["score"])
        for text, truth in zip(texts, answer, strict=True)
    ]


if __name__ == "__main__":
    main()
