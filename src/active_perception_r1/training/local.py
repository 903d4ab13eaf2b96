"""A run of the local engine from its samples to its checkpoint: resumed, saved and reported."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.checkpoints import CheckpointStore, Trained, publish
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.questions import divide_questions


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

    Writes `output`/checkpoint (a Hugging Face folder with processor) and `output`/metrics.jsonl.

    Raises:
        DataError: fewer samples than one step takes.
        BackendError: the base model cannot be loaded.
    """
    usable = divide_questions(name, run, base, data).training
    samples = [sample for index, sample in enumerate(read_slice(data)) if index in usable]
    trainer = GrpoTrainer(run, base, samples, task)
    store = CheckpointStore(checkpoints)
    done = store.restore(trainer.policy.model, trainer.optimiser)
    with tqdm(total=run.steps, initial=done, desc=name, unit="step") as bar:
        for step in range(done + 1, run.steps + 1):
            metrics = trainer.step(step)
            store.metrics.append(metrics.line())
            means = metrics.means
            bar.set_postfix(reward=f"{means['reward']:.2f}", correct=f"{means['correct']:.2f}")
            bar.update()
            if step % run.save_every == 0 or step == run.steps:
                store.save(step, trainer.policy.model, trainer.optimiser)
    policy = trainer.policy
    trained = Trained(name, run, base.id, policy.revision, data)
    publish(policy.save, trained, store.metrics, output)
