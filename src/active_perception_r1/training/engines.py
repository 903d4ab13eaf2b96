"""The engines of training, by the name that a run gives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.config import LocalTraining, ModelConfig, TrainingConfig
from active_perception_r1.data.samples import slice_length
from active_perception_r1.errors import ConfigError
from active_perception_r1.models.dependence import training_code, training_settings
from active_perception_r1.storage.files import sha256_of
from active_perception_r1.storage.fingerprint import fingerprint, local_content
from active_perception_r1.tasks import DEFAULT_TASK


@dataclass(frozen=True, slots=True)
class Job:
    """A run with what it works on.

    Attributes:
        data: training questions, from `grpo-data`.
        output: folder for the trained checkpoint and the metrics.
        checkpoints: folder in which the state of every run has a folder of its own.
        task: of the study whose questions it trains on.
    """

    name: str
    run: TrainingConfig
    base: ModelConfig
    data: Path
    output: Path
    checkpoints: Path
    task: str = DEFAULT_TASK


def local_gpus(job: Job) -> int:
    """GPUs that the run takes on this machine; none where it joins a Ray cluster, or on a CPU."""
    if isinstance(job.run, LocalTraining):
        return job.base.gpus
    elsewhere = "RAY_ADDRESS" in os.environ or job.base.gpus == 0
    return 0 if elsewhere else job.run.hardware.gpus_per_node


def train(job: Job) -> None:
    """Train with the engine that the run names, and write its checkpoint.

    Raises:
        UserError: what the engine cannot do.
    """
    if isinstance(job.run, LocalTraining):
        from active_perception_r1.training import grpo

        state = _state(job, job.run, job.base)
        grpo.train(job.name, job.run, job.base, job.data, job.output, state, job.task)
        return
    from active_perception_r1.training import verl
    from active_perception_r1.training.verl_launch import switched

    run, base = switched(job.run, job.base)
    state = _state(job, run, base)
    verl.train(job.name, run, base, job.data, job.output, state, job.task)


def describe(job: Job) -> str:
    """The launch of verl: the command with every override, and the agent loop's settings.

    Raises:
        ConfigError: the run is not for verl, or the environment holds a wrong value.
    """
    from active_perception_r1.training import verl_launch

    if isinstance(job.run, LocalTraining):
        raise ConfigError(f"training.{job.name}: engine local launches nothing to show")
    run, base = verl_launch.switched(job.run, job.base)
    drawn = job.data.exists()
    state = _state(job, run, base) if drawn else job.checkpoints / "FINGERPRINT-OF-THE-DATA"
    files = verl_launch.RunFiles(job.data.resolve(), state.resolve(), "001")
    questions = slice_length(job.data) if drawn else run.samples
    settings = verl_launch.overrides(job.name, run, base, files, questions)
    return verl_launch.describe(settings, verl_launch.agent_loops(base, files, job.task))


def _state(job: Job, run: TrainingConfig, base: ModelConfig) -> Path:
    """The state of a run with other code, settings or data must not be taken up."""
    key = fingerprint(
        training_code(run.engine),
        training_settings(run, base, job.task),
        local_content(base.id),
        sha256_of(job.data),
    )
    return job.checkpoints / key
