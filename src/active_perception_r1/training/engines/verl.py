"""verl's trainer: see `training.verl`."""

from __future__ import annotations

import os
from dataclasses import replace

from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.data.samples import slice_length
from active_perception_r1.training import verl_launch, verl_overrides
from active_perception_r1.training.engines._engine import Engine, Job


class VerlEngine(Engine[VerlTraining]):
    """verl in a process of its own, on the GPUs of one machine or of a Ray cluster."""

    def train(self, job: Job[VerlTraining]) -> None:
        from active_perception_r1.training import verl  # torch: not before the GPUs are chosen

        job = _switched(job)
        verl.train(job.name, job.run, job.base, job.data, job.output, job.state, job.task)

    def describe(self, job: Job[VerlTraining]) -> str:
        job = _switched(job)
        drawn = job.data.exists()
        state = job.state if drawn else job.checkpoints / "FINGERPRINT-OF-THE-DATA"
        files = verl_launch.RunFiles(job.data.resolve(), state.resolve(), "001")
        questions = slice_length(job.data) if drawn else job.run.samples
        settings = verl_overrides.overrides(job.name, job.run, job.base, files, questions)
        return verl_launch.describe(settings, verl_launch.agent_loops(job.base, files, job.task))

    def local_gpus(self, job: Job[VerlTraining]) -> int:
        """None where the run joins a Ray cluster, or on a CPU."""
        elsewhere = "RAY_ADDRESS" in os.environ or job.base.gpus == 0
        return 0 if elsewhere else job.run.hardware.gpus_per_node


def _switched(job: Job[VerlTraining]) -> Job[VerlTraining]:
    """The job with what the environment says instead."""
    run, base = verl_launch.switched(job.run, job.base)
    return replace(job, run=run, base=base)


ENGINE = VerlEngine()
