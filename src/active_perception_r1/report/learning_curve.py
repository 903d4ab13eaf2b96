"""The learning curve of a training run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from active_perception_r1.errors import DataError
from active_perception_r1.report.figures import COLOURS, figure_in_style

_WINDOW = 5  # Steps in the running mean; odd.


@dataclass(frozen=True, slots=True)
class _Panel:
    key: str
    title: str
    unit: str
    is_share: bool = False


_PANELS = (
    _Panel("reward", "Reward", "mean per episode"),
    _Panel("correct", "Answer correct", "share of episodes", is_share=True),
    _Panel("coverage", "Coverage", "share of the evidence seen", is_share=True),
    _Panel("zoom_rate", "Zoom rate", "share of episodes", is_share=True),
    _Panel("entropy", "Entropy", "nats per token"),
    _Panel("kl", "KL divergence", "nats per token"),
)


def learning_curve(metrics: Path, output: Path) -> None:
    """Draw each known metric of a training run (`metrics.jsonl`) over the training steps.

    A step written twice, by a resumed run, counts as written last.

    Raises:
        DataError: the file is missing or damaged, or holds no step.
    """
    steps = read_metrics(metrics)
    panels = [panel for panel in _PANELS if any(panel.key in step for step in steps)]
    if not panels:
        raise DataError(f"{metrics}: no known metric; train again")
    with figure_in_style(output, (9.0, 2.4 * -(-len(panels) // 3))) as figure:
        grid = figure.subplots(-(-len(panels) // 3), 3, squeeze=False, sharex=True)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw_metric(axes, panel, steps)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        figure.supxlabel(
            f"GRPO step (thin: each step; thick: mean of {_WINDOW} steps)", fontsize="medium"
        )


def _draw_metric(axes: Axes, panel: _Panel, steps: Sequence[Mapping[str, Any]]) -> None:
    points = [(step["step"], step[panel.key]) for step in steps if step.get(panel.key) is not None]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    axes.plot(x, y, color=COLOURS[0], linewidth=0.8, alpha=0.4, marker=".", markersize=2)
    axes.plot(x, running_mean(y), color=COLOURS[0], linewidth=1.8)
    axes.set_title(panel.title)
    axes.set_ylabel(panel.unit)
    axes.tick_params(labelbottom=True)
    if panel.is_share:
        axes.set_ylim(-0.02, 1.02)


def running_mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """Mean of the window around each step, narrower at the ends, so that it does not lag."""
    half = _WINDOW // 2
    return [float(values[max(0, i - half) : i + half + 1].mean()) for i in range(len(values))]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    steps: dict[int, dict[str, Any]] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                step = json.loads(line)
                steps[int(step["step"])] = step
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{path}, line {number}: not a training step") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); train first") from None
    return [steps[step] for step in sorted(steps)]
