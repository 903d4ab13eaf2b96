"""Figures: the learning curve of a training run, and accuracy by mode.

The suffix of the output (.svg, .png) decides the format. The same data give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from active_perception_r1.data.files import atomic
from active_perception_r1.errors import DataError
from active_perception_r1.scoring.tables import read_leaderboard

# Okabe and Ito's palette, distinguishable with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_STYLE: Any = {  # Matplotlib's own type for this is a union of all its keys.
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.dpi": 150,
    "font.size": 9,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "active-perception-r1",
}
_NO_DATES: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".png": {"Software": None}}
_WINDOW = 5  # Steps in the running mean; odd.


@dataclass(frozen=True, slots=True)
class _Panel:
    key: str
    title: str
    unit: str
    is_share: bool = False


_PANELS = (
    _Panel("reward", "Reward", "mean per episode"),
    _Panel("accuracy", "Accuracy", "share of episodes", is_share=True),
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
    steps = _read_metrics(metrics)
    panels = [panel for panel in _PANELS if any(panel.key in step for step in steps)]
    if not panels:
        raise DataError(f"{metrics}: no known metric; train again")
    with house_figure(output, (9.0, 2.4 * -(-len(panels) // 3))) as figure:
        grid = figure.subplots(-(-len(panels) // 3), 3, squeeze=False, sharex=True)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw_metric(axes, panel, steps)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        figure.supxlabel(
            f"GRPO step (thin: each step; thick: mean of {_WINDOW} steps)", fontsize="medium"
        )


def accuracy_by_mode(leaderboard: Path, output: Path) -> None:
    """Draw the accuracy of every model in every mode with its 95 % interval.

    Raises:
        DataError: the leaderboard is missing or damaged.
    """
    rows = [row for row in read_leaderboard(leaderboard) if row["n"]]
    models = list(dict.fromkeys(row["model"] for row in rows))
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    width = 0.8 / max(1, len(models))
    with house_figure(output, (max(6.0, 1.2 * len(modes)), 3.4)) as figure:
        axes = figure.subplots()
        for i, model in enumerate(models):
            own = {row["mode"]: row for row in rows if row["model"] == model}
            places = [
                k + (i - (len(models) - 1) / 2) * width for k, m in enumerate(modes) if m in own
            ]
            bars = [own[mode] for mode in modes if mode in own]
            _draw_bars(axes, places, bars, 0.92 * width, model, COLOURS[i % len(COLOURS)])
        axes.set_xticks(range(len(modes)), modes)
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("Mode")
        axes.set_ylabel("Accuracy (with 95 % interval)")
        figure.legend(loc="outside upper left", ncols=max(1, min(4, len(models))))


def _draw_metric(axes: Axes, panel: _Panel, steps: Sequence[Mapping[str, Any]]) -> None:
    points = [(step["step"], step[panel.key]) for step in steps if step.get(panel.key) is not None]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    axes.plot(x, y, color=COLOURS[0], linewidth=0.8, alpha=0.4, marker=".", markersize=2)
    axes.plot(x, _running_mean(y), color=COLOURS[0], linewidth=1.8)
    axes.set_title(panel.title)
    axes.set_ylabel(panel.unit)
    axes.tick_params(labelbottom=True)
    if panel.is_share:
        axes.set_ylim(-0.02, 1.02)


def _draw_bars(
    axes: Axes,
    places: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    width: float,
    label: str,
    colour: str,
) -> None:
    heights = np.array([row["accuracy"] for row in rows])
    below = heights - [row["ci_low"] for row in rows]
    above = np.array([row["ci_high"] for row in rows]) - heights
    # Rounding may leave an end of the interval a hair inside the bar.
    errors = np.maximum([below, above], 0.0)
    axes.bar(places, heights, width, label=label, color=colour)
    axes.errorbar(places, heights, errors, fmt="none", ecolor="#333333", elinewidth=1, capsize=2)


def _running_mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """Mean of the window around each step, narrower at the ends, so that it does not lag."""
    half = _WINDOW // 2
    return [float(values[max(0, i - half) : i + half + 1].mean()) for i in range(len(values))]


def _read_metrics(path: Path) -> list[dict[str, Any]]:
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


@contextmanager
def house_figure(output: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure (inches) in the house style, saved when the block ends; touches no global state."""
    if output.suffix not in _NO_DATES:
        raise DataError(f"{output}: figures are written as {' or '.join(_NO_DATES)}")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        with atomic(output) as part:
            kind = output.suffix.removeprefix(".")
            figure.savefig(part, format=kind, metadata=_NO_DATES[output.suffix])
