"""What an engine of training does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from active_perception_r1.config import GrpoConfig, ModelConfig
from active_perception_r1.errors import ConfigError
from active_perception_r1.keys import training_key
from active_perception_r1.storage.files import sha256_of
from active_perception_r1.storage.fingerprint import fingerprint, local_content
from active_perception_r1.tasks import DEFAULT_TASK

RunT = TypeVar("RunT", bound=GrpoConfig)


@dataclass(frozen=True, slots=True)
class Job(Generic[RunT]):
    """A run with what it works on.

    Attributes:
        data: training questions, from `grpo-data`.
        output: folder for the trained checkpoint and the metrics.
        checkpoints: folder in which the state of every run has a folder of its own.
        task: of the study whose questions it trains on.
    """

    name: str
    run: RunT
    base: ModelConfig
    data: Path
    output: Path
    checkpoints: Path
    task: str = DEFAULT_TASK

    @property
    def state(self) -> Path:
        """The state of a run with other code, settings or data must not be taken up."""
        key = fingerprint(
            str(training_key(self.run, self.base, self.task)),
            local_content(self.base.id),
            sha256_of(self.data),
        )
        return self.checkpoints / key


class Engine(ABC, Generic[RunT]):
    """How runs are trained whose section is `config.engines`' of the same name."""

    @abstractmethod
    def train(self, job: Job[RunT]) -> None:
        """Train, and write the checkpoint and the metrics.

        Raises:
            UserError: what the engine cannot do.
        """

    def describe(self, job: Job[RunT]) -> str:
        """What would be launched, to read or to paste into a shell.

        Raises:
            ConfigError: nothing is, or the environment holds a wrong value.
        """
        raise ConfigError(f"training.{job.name}: engine {job.run.engine} launches nothing to show")

    def local_gpus(self, job: Job[RunT]) -> int:
        """GPUs that the run takes on this machine."""
        return job.run.gpus(job.base)
