"""Accuracy by mode, of every model of a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from active_perception_r1.report.figures._figure import LeaderboardFigure
from active_perception_r1.report.figures._style import figure_in_style, legend_above, look
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(rows: Sequence[LeaderboardRow], output: Path) -> None:
    """A bar for every model in every mode, with its 95 % interval."""
    run = [row for row in rows if row.n]
    models = list(dict.fromkeys(row.model for row in run))
    modes = list(dict.fromkeys(row.mode for row in run))
    width = 0.8 / max(1, len(models))
    with figure_in_style(output, 2.2) as figure:
        axes = figure.subplots()
        for i, model in enumerate(models):
            own = {row.mode: row for row in run if row.model == model}
            places = [
                k + (i - (len(models) - 1) / 2) * width for k, m in enumerate(modes) if m in own
            ]
            bars = [own[mode] for mode in modes if mode in own]
            _draw_bars(axes, places, bars, 0.92 * width, model, *look(i))
        axes.set_xticks(range(len(modes)), modes, rotation=30, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("Accuracy (with 95 % interval)")
        legend_above(figure, *axes.get_legend_handles_labels())


def _draw_bars(
    axes: Axes,
    places: Sequence[float],
    rows: Sequence[LeaderboardRow],
    width: float,
    label: str,
    colour: str,
    hatch: str,
) -> None:
    heights = np.array([row.accuracy for row in rows])
    below = heights - [row.ci_low for row in rows]
    above = np.array([row.ci_high for row in rows]) - heights
    # Rounding may leave an end of the interval a hair inside the bar.
    errors = np.maximum([below, above], 0.0)
    axes.bar(places, heights, width, label=label, color=colour, hatch=hatch, edgecolor="white")
    axes.errorbar(places, heights, errors, fmt="none", ecolor="#333333", elinewidth=0.6, capsize=1)


FIGURE = LeaderboardFigure(title="accuracy by mode", category="Results", draw=draw)
