"""Figure: what zooming gains, and could gain, depending on how much the model sees at first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, BASELINE, ORACLE
from active_perception_r1.report.figures import COLOURS, figure_in_style, legend_above
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, read_leaderboard
from active_perception_r1.variants import without_budget

_MARKERS = {BASELINE: "o", ACTIVE: "s", ORACLE: "^"}
_PANELS = 3  # side by side


def headroom(leaderboard: Path, output: Path) -> None:
    """Draw accuracy in baseline, active and oracle over the pixels of the first view, per model.

    Bands are the 95 % intervals of the leaderboard.

    Raises:
        DataError: the leaderboard is missing or damaged, or its study has no `first_views`.
    """
    rows = [row for row in read_leaderboard(leaderboard) if row.first_view_pixels and row.n]
    models = list(dict.fromkeys(without_budget(row.model) for row in rows))
    if not models:
        raise DataError(f"{leaderboard}: no model has several first views; give first_views")
    columns = min(_PANELS, len(models))
    lines = math.ceil(len(models) / columns)
    with figure_in_style(output, (max(4.0, 3.2 * columns), 0.8 + 2.6 * lines)) as figure:
        grid: Any = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(models) :]:
            axes.remove()
        for axes, model in zip(grid.flat, models, strict=False):
            own = [row for row in rows if without_budget(row.model) == model]
            _draw(axes, own)
            axes.set_title(model)
        figure.supylabel("Accuracy (with 95 % interval)", fontsize="medium")
        figure.supxlabel("Pixels of the first view", fontsize="medium")
        legend_above(figure, *grid[0, 0].get_legend_handles_labels())


def _draw(axes: Axes, rows: list[LeaderboardRow]) -> None:
    for (mode, marker), colour in zip(_MARKERS.items(), COLOURS, strict=False):
        points = sorted(
            (row.first_view_pixels, row.accuracy, row.ci_low, row.ci_high)
            for row in rows
            if row.mode == mode
        )
        if points:
            pixels, accuracy, low, high = zip(*points, strict=True)
            axes.plot(pixels, accuracy, color=colour, marker=marker, markersize=5, label=str(mode))
            axes.fill_between(pixels, low, high, color=colour, alpha=0.15, linewidth=0)
    budgets = sorted({row.first_view_pixels for row in rows if row.first_view_pixels})
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{pixels:,}" for pixels in budgets], rotation=30, ha="right")
    axes.tick_params(labelleft=True)
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
