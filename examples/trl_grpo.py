"""Two steps of GRPO with TRL's own trainer and tool loop, on the shipped model.

python examples/trl_grpo.py --questions results/demo/slice/test.parquet
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from datasets import Dataset
from transformers import AutoProcessor
from trl import GRPOConfig, GRPOTrainer

from active_perception_r1.config import load_config
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True, help="a slice file")
    parser.add_argument("--config", type=Path, default=Path("workflow_config.yaml"))
    parser.add_argument("--model", default="tiny-zoom-vlm", help="an entry of the configuration")
    options = parser.parse_args()

    settings = load_config(options.config).model(options.model)
    questions = Questions(options.questions, settings)
    processor = AutoProcessor.from_pretrained(settings.id, padding_side="left")
    offer_zoom_roi(processor)
    one_row_an_image(processor)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=Idefics3ForTrl.from_pretrained(settings.id, dtype="float32"),
            processing_class=processor,
            train_dataset=Dataset.from_list(rows(questions)),
            environment_factory=environment_factory(questions),
            reward_funcs=episode_reward({processor.tokenizer.eos_token_id}),
            args=GRPOConfig(
                output_dir=folder,
                max_steps=2,
                per_device_train_batch_size=16,
                num_generations=4,
                max_completion_length=96,  # both replies, and the crop between them
                max_tool_calling_iterations=settings.max_turns - 1,
                learning_rate=1e-5,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                use_cpu=not settings.gpus,
                bf16=False,
                gradient_checkpointing=False,
            ),
        )
        trainer.train()
    for log in trainer.state.log_history[:2]:
        print(f"step {log['step']}: reward {log['reward']:.3f}, loss {log['loss']:.2g}")


if __name__ == "__main__":
    main()
