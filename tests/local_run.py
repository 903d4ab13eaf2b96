"""A small run of the local engine, for tests of its parts."""

from __future__ import annotations

import torch

from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.modes import ACTIVE
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.rollout import Rollouts, roll_out
from tests.scripted import make_sample

RUN = LocalTraining(
    base="base",
    study="study",
    steps=4,
    prompts_per_step=2,
    samples_per_prompt=2,
    learning_rate=1e-3,
    warmup_steps=0,
    save_every=1,
)
SAMPLES = [make_sample(number) for number in range(4)]
ADVANTAGES = torch.tensor([1.0, -1.0, 1.0, -1.0])


def run_with(**keys: object) -> LocalTraining:
    return LocalTraining.model_validate({**RUN.model_dump(), **keys})


def rolled_out(trainer: GrpoTrainer) -> Rollouts:
    return roll_out(trainer.policy.engine, SAMPLES, ACTIVE, seed=3)
