"""How the terms of the reward changed while a model was trained."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from active_perception_r1.errors import DataError
from active_perception_r1.report.figures import COLOURS, figure_in_style
from active_perception_r1.report.learning_curve import read_metrics, running_mean
from active_perception_r1.rewards.active_vision_reward import TERMS

_DASHES = ("solid", "dashed", "dotted", "dashdot")


def reward_terms(metrics: Path, output: Path) -> None:
    """Draw the mean of each term of the reward over the steps of a run (`metrics.jsonl`).

    A term that was 0 in every step is left out.

    Raises:
        DataError: the file is missing or damaged, or holds no term of a reward.
    """
    steps = read_metrics(metrics)
    if not any(step.get(name) is not None for step in steps for name in TERMS):
        raise DataError(f"{metrics}: no term of a reward; train again")
    drawn = [name for name in TERMS if any(step.get(name) for step in steps)]
    styles = itertools.product(_DASHES, COLOURS)
    with figure_in_style(output, (7.0, 3.4)) as figure:
        axes = figure.subplots()
        for name, (dashes, colour) in zip(drawn, styles, strict=False):
            points = [(s["step"], s[name]) for s in steps if s.get(name) is not None]
            x, y = np.array(points, dtype=np.float64).T
            axes.plot(x, running_mean(y), color=colour, linestyle=dashes, label=TERMS[name])
        axes.set_xlabel("GRPO step")
        axes.set_ylabel("Mean per episode, over 5 steps")
        figure.legend(loc="outside right center")
