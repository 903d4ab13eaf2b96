"""What zooming gains, and could gain, depending on how much the model sees at first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from active_perception_r1.errors import DataError
from active_perception_r1.modes import MODES
from active_perception_r1.report.figures._figure import LeaderboardFigure
from active_perception_r1.report.figures._style import (
    COLOURS,
    MARKERS,
    figure_in_style,
    legend_above,
)
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow
from active_perception_r1.variants import without_budget

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = 2  # side by side


def draw(rows: Sequence[LeaderboardRow], output: Path) -> None:
    """A panel for every model: accuracy over the pixels of the first view, a line for each mode.

    Controls and modes that demand a zoom are left out. Bands are 95 % intervals.

    Raises:
        DataError: the study has no `first_views`.
    """
    drawn = [row for row in rows if row.first_view_pixels and row.n and _is_drawn(row.mode)]
    models = list(dict.fromkeys(without_budget(row.model) for row in drawn))
    modes = list(dict.fromkeys(row.mode for row in drawn))
    if not models:
        raise DataError(f"{output}: no model has several first views; give first_views")
    columns = min(_PANELS, len(models))
    lines = math.ceil(len(models) / columns)
    with figure_in_style(output, 0.5 + 1.7 * lines) as figure:
        grid: Any = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(models) :]:
            axes.remove()
        for axes, model in zip(grid.flat, models, strict=False):
            own = [row for row in drawn if without_budget(row.model) == model]
            _draw_model(axes, own, modes)
            axes.set_title(model)
        figure.supylabel("Accuracy (with 95 % interval)")
        figure.supxlabel("Pixels of the first view")
        legend_above(figure, *grid[0, 0].get_legend_handles_labels())


def _is_drawn(mode: str) -> bool:
    chosen = MODES[mode]
    is_control = bool(chosen.goes_by) or (chosen.tool and not chosen.zooms_for_real)
    return not chosen.require_zoom and not is_control


def _draw_model(axes: Axes, rows: Sequence[LeaderboardRow], modes: Sequence[str]) -> None:
    for mode, marker, colour in zip(modes, MARKERS, COLOURS, strict=False):
        points = sorted(
            (row.first_view_pixels, row.accuracy, row.ci_low, row.ci_high)
            for row in rows
            if row.mode == mode
        )
        if points:
            pixels, accuracy, low, high = zip(*points, strict=True)
            axes.plot(
                pixels, accuracy, color=colour, marker=marker, markersize=3, linewidth=1, label=mode
            )
            axes.fill_between(pixels, low, high, color=colour, alpha=0.15, linewidth=0)
    budgets = sorted({row.first_view_pixels for row in rows if row.first_view_pixels})
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{pixels:,}" for pixels in budgets], rotation=30, ha="right")
    axes.tick_params(labelleft=True)
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)


FIGURE = LeaderboardFigure(
    title="headroom over first-view pixels",
    category="Results",
    draw=draw,
    needs=lambda study: bool(study.first_views),
)
