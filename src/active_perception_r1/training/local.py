"""A run of the local engine from its samples to its checkpoint: resumed, saved and reported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import read_slice
from active_perception_r1.records import Sample
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.checkpoints import CheckpointStore, Trained, publish, set_weights
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
    work = _Work(run, base, data, questions, task, micro_batch(name, run, base))
    with replicas(run.processes, _take_part, work) as first:
        trainer = work.trainer(first)
        store = CheckpointStore(checkpoints)
        done = store.restore(trainer.policy.trainable, trainer.optimiser)
        _agree(first, trainer, done)
        _train(name, work, trainer, store, output, done)
    if run.export == "best":
        best = store.restore_best(trainer.policy.trainable)
        print(f"{name}: exporting step {best} of {run.steps}, the best", file=sys.stderr)
    policy = trainer.policy
    trained = Trained(name, run, base.id, policy.engine.revision, data)
    publish(policy.save, trained, store.metrics, output)
    store.episodes.publish(output / "rollouts.jsonl.gz")


@dataclass(frozen=True, slots=True)
class _Work:
    """What every process of a run has to know; see `train` and `GrpoTrainer`."""

    run: LocalTraining
    base: ModelConfig
    data: Path
    questions: Questions
    task: str
    micro_batch: int

    def trainer(self, own: Replicas) -> GrpoTrainer:
        training = self.questions.training
        samples = [s for index, s in enumerate(read_slice(self.data)) if index in training]
        return GrpoTrainer(self.run, self.base, samples, self.task, self.micro_batch, own)

    def to_validate_on(self) -> list[Sample]:
        return self.questions.of_validation(self.data)

    def validates(self, step: int) -> bool:
        every = self.run.validate_every
        return bool(every) and (step % every == 0 or step == self.run.steps)


def _take_part(own: Replicas, work: _Work) -> None:
    """All steps and validations of a run whose first process keeps and tells what comes of them."""
    trainer, validation = work.trainer(own), work.to_validate_on()
    for step in range(_agree(own, trainer) + 1, work.run.steps + 1):
        trainer.step(step)
        if work.validates(step):
            trainer.validate(validation)


def _agree(own: Replicas, trainer: GrpoTrainer, done: int = 0) -> int:
    """Go out from the state of the first process; returns how many steps it has done."""
    weights, optimiser = trainer.policy.trainable, trainer.optimiser
    values = {name: value.detach() for name, value in weights.items()}
    done, values, moments = own.from_first((done, values, optimiser.state_dict()))
    if own.rank:
        set_weights(weights, values)
        optimiser.load_state_dict(moments)
    return done


def _train(
    name: str,
    work: _Work,
    trainer: GrpoTrainer,
    store: CheckpointStore,
    output: Path,
    done: int,
) -> None:
    """The steps after those that are done, each kept and told."""
    run, validation, weights = work.run, work.to_validate_on(), trainer.policy.trainable
    rewards = store.metrics.values("reward")
    with (
        tqdm(total=run.steps, initial=done, desc=name, unit="step") as bar,
        board(run.tensorboard, output / "tensorboard", done) as log,
    ):
        for step in range(done + 1, run.steps + 1):
            metrics, played = trainer.step(step)
            rewards.append(metrics.means["reward"])
            if work.validates(step):
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
