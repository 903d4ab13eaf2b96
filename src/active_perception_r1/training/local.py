"""A run of the local engine from its samples to its checkpoint: resumed, saved and reported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tqdm import tqdm

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import read_slice
from active_perception_r1.records import Sample
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.checkpoints import CheckpointStore, Trained, publish
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.metrics import StepMetrics, with_validation
from active_perception_r1.training.micro_batch import micro_batch
from active_perception_r1.training.questions import Questions, divide_questions
from active_perception_r1.training.replicas import Replicas, replicas
from active_perception_r1.training.tensorboard import board


def train(
    name: str,
    run: LocalTraining,
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
        TrainingError: the memory is too small, or another process of the run is gone.
    """
    questions = divide_questions(name, run, base, data)
    about = run, base, data, questions, task, micro_batch(name, run, base)
    with replicas(run.processes, _take_part, *about) as first:
        trainer = _trainer(first, *about)
        store = CheckpointStore(checkpoints)
        done = store.restore(trainer.policy.trainable, trainer.optimiser)
        _agree(first, trainer, done)
        _train(name, run, trainer, questions.of_validation(data), store, output, done)
    if run.export == "best":
        best = store.restore_best(trainer.policy.trainable)
        print(f"{name}: exporting step {best} of {run.steps}, the best", file=sys.stderr)
    policy = trainer.policy
    trained = Trained(name, run, base.id, policy.engine.revision, data)
    publish(policy.save, trained, store.metrics, output)
    store.episodes.publish(output / "rollouts.jsonl.gz")


def _trainer(
    own: Replicas,
    run: LocalTraining,
    base: ModelConfig,
    data: Path,
    questions: Questions,
    task: str,
    size: int,
) -> GrpoTrainer:
    samples = [s for index, s in enumerate(read_slice(data)) if index in questions.training]
    return GrpoTrainer(run, base, samples, task, size, own)


def _take_part(
    own: Replicas,
    run: LocalTraining,
    base: ModelConfig,
    data: Path,
    questions: Questions,
    *others: Any,
) -> None:
    """All steps and validations of a run whose first process keeps and tells what comes of them."""
    trainer = _trainer(own, run, base, data, questions, *others)
    validation = questions.of_validation(data)
    for step in range(_agree(own, trainer) + 1, run.steps + 1):
        trainer.step(step)
        if validation and _validates(run, step):
            trainer.validate(validation)


def _agree(own: Replicas, trainer: GrpoTrainer, done: int = 0) -> int:
    """Go out from the state of the first process, and return how many steps it has done."""
    weights, optimiser = trainer.policy.trainable, trainer.optimiser
    done = own.from_first(done)
    if not done:
        return 0
    state = {name: value.detach() for name, value in weights.items()}, optimiser.state_dict()
    theirs, moments = own.from_first(state if own.rank == 0 else None) or state
    if own.rank:
        with torch.no_grad():
            for name, value in weights.items():
                value.copy_(theirs[name])
        optimiser.load_state_dict(moments)
    return done


def _validates(run: LocalTraining, step: int) -> bool:
    return step == run.steps or step % run.validate_every == 0


def _train(
    name: str,
    run: LocalTraining,
    trainer: GrpoTrainer,
    validation: Sequence[Sample],
    store: CheckpointStore,
    output: Path,
    done: int,
) -> None:
    """The steps after those that are done, each kept and told."""
    weights = trainer.policy.trainable
    rewards = store.metrics.values("reward")
    with (
        tqdm(total=run.steps, initial=done, desc=name, unit="step") as bar,
        board(run.tensorboard, output / "tensorboard", done) as log,
    ):
        for step in range(done + 1, run.steps + 1):
            metrics, played = trainer.step(step)
            rewards.append(metrics.means["reward"])
            if validation and _validates(run, step):
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


def _score(metrics: StepMetrics, rewards: Sequence[float], window: int) -> float:
    """By which states are compared: right answers in validation, else the mean reward lately."""
    if metrics.validation_correct is not None:
        return metrics.validation_correct
    return fmean(rewards[-window:])
