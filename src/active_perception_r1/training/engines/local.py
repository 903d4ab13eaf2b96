"""The engine in this package: see `training.grpo`."""

from __future__ import annotations

from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.training.engines._engine import Engine, Job


class LocalEngine(Engine[LocalTraining]):
    """GRPO on one device."""

    def train(self, job: Job[LocalTraining]) -> None:
        from active_perception_r1.training import local  # torch: not before the GPUs are chosen

        local.train(job.name, job.run, job.base, job.data, job.output, job.state, job.task)


ENGINE = LocalEngine()
