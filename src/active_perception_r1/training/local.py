"""A run of the local engine from its samples to its checkpoint: resumed, saved and reported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.checkpoints import CheckpointStore, Trained, publish
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.metrics import StepMetrics, with_validation
from active_perception_r1.training.micro_batch import micro_batch
from active_perception_r1.training.questions import divide_questions
from active_perception_r1.training.tensorboard import board


def train(
    name: str,
    run: TrainingConfig,
    base: ModelConfig,
    data: Path,
    output: Path,
    checkpoints: Path,
    task: str = DEFAULT_TASK,
) -> None:
    """Train `base` on the samples of `data`; resume from `checkpoints` when a run was cut off.

    Writes `output`/checkpoint (a Hugging Face folder with processor), `output`/metrics.jsonl and
    `output`/rollouts.jsonl.gz, the episodes of every step.

    Raises:
        DataError: fewer samples than one step takes.
        BackendError: the base model cannot be loaded.
        TrainingError: the memory is too small.
    """
    questions = divide_questions(name, run, base, data)
    size = micro_batch(name, run, base)
    samples = [s for index, s in enumerate(read_slice(data)) if index in questions.training]
    trainer = GrpoTrainer(run, base, samples, task, size)
    weights = trainer.policy.trainable
    store = CheckpointStore(checkpoints)
    done = store.restore(weights, trainer.optimiser)
    validation = questions.of_validation(data)
    rewards = store.metrics.values("reward")
    with (
        tqdm(total=run.steps, initial=done, desc=name, unit="step") as bar,
        board(run.tensorboard, output / "tensorboard", done) as log,
    ):
        for step in range(done + 1, run.steps + 1):
            metrics, played = trainer.step(step)
            rewards.append(metrics.means["reward"])
            if validation and (step % run.validate_every == 0 or step == run.steps):
                metrics = with_validation(metrics, trainer.validate(validation), validation)
            store.episodes.write(step, played.lines(step))
            store.metrics.append(metrics.line())
            log(metrics.line())
            told = {**metrics.means, "zoom": metrics.zoom_rate}
            bar.set_postfix({name: f"{told[name]:.2f}" for name in ("reward", "correct", "zoom")})
            bar.update()
            if step % run.save_every == 0 or step == run.steps:
                if run.export == "best":
                    store.keep_if_best(step, _score(metrics, rewards, run.save_every), weights)
                store.save(step, weights, trainer.optimiser)
    if run.export == "best":
        best = store.restore_best(weights)
        print(f"{name}: exporting step {best} of {run.steps}, the best", file=sys.stderr)
    policy = trainer.policy
    trained = Trained(name, run, base.id, policy.engine.revision, data)
    publish(policy.save, trained, store.metrics, output)
    store.episodes.publish(output / "rollouts.jsonl.gz")


def _score(metrics: StepMetrics, rewards: Sequence[float], window: int) -> float:
    """By which states are compared: right answers in validation, else the mean reward lately."""
    if metrics.validation_correct is not None:
        return metrics.validation_correct
    return fmean(rewards[-window:])
