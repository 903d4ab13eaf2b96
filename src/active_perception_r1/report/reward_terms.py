"""How the parts of the reward changed while a model was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from active_perception_r1.errors import DataError
from active_perception_r1.report.figures import COLOURS, figure_in_style
from active_perception_r1.report.learning_curve import read_metrics, running_mean

_PARTS = {
    "reward": "reward",
    "accuracy": "answer correct",
    "relevance": "relevance of the zooms",
    "process_reward": "process",
    "faults": "faults",
}
_DASHES = ("solid", "solid", "solid", "dashed", "dotted")


def reward_parts(metrics: Path, output: Path) -> None:
    """Draw the mean of each part of the reward over the steps of a run (`metrics.jsonl`).

    Raises:
        DataError: the file is missing or damaged, or holds no part of a reward.
    """
    steps = read_metrics(metrics)
    parts = [key for key in _PARTS if any(step.get(key) is not None for step in steps)]
    if not parts:
        raise DataError(f"{metrics}: no part of a reward; train again")
    with figure_in_style(output, (7.0, 3.4)) as figure:
        axes = figure.subplots()
        for key, colour, dashes in zip(_PARTS, COLOURS, _DASHES, strict=False):
            points = [(s["step"], s[key]) for s in steps if s.get(key) is not None]
            if points:
                x, y = np.array(points, dtype=np.float64).T
                axes.plot(x, running_mean(y), color=colour, linestyle=dashes, label=_PARTS[key])
        axes.set_xlabel("GRPO step")
        axes.set_ylabel("Mean per episode, over 5 steps")
        figure.legend(loc="outside right center")
