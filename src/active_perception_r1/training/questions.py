"""Which questions a base model can be trained on."""

from __future__ import annotations

import sys
from pathlib import Path

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.envs.zoom_simulator import require_shape
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, episode_rules


def usable_samples(name: str, run: TrainingConfig, base: ModelConfig, data: Path) -> frozenset[int]:
    """Positions, in a `grpo-data` file, of the samples whose pages the base model can be shown.

    The others are named on standard error: a fault of the data costs its row, and no step.

    Raises:
        DataError: the file cannot be read, or fewer are left than one step takes.
    """
    rules = episode_rules(ACTIVE, base)
    usable = []
    for index, sample in enumerate(read_slice(data, images=False)):
        try:
            require_shape((sample.width, sample.height), rules.first_view)
            usable.append(index)
        except DataError as error:
            print(f"warning: {data}: sample '{sample.id}' left out: {error}", file=sys.stderr)
    if len(usable) < run.prompts_per_step:
        raise DataError(
            f"{data}: {len(usable)} samples, but a step of {name} takes {run.prompts_per_step}"
        )
    return frozenset(usable)
