"""From nothing to the folder of the model."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from active_perception_r1.keys import recipe_key
from recipes.tiny_zoom_vlm.train import TrainSettings, train


def make(output: Path, checkpoints: Path) -> None:
    """Train, or go on where a run of the same code was interrupted, and copy the model.

    Args:
        output: folder for the model; the Auto classes load it.
        checkpoints: folder for the states to resume from.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    state = checkpoints / recipe_key(Path(__file__).parent)
    train(TrainSettings(), state)
    unneeded = shutil.ignore_patterns("checkpoint.*")
    shutil.copytree(state, output, ignore=unneeded, dirs_exist_ok=True)
