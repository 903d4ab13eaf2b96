"""What accuracy costs in visual tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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


def draw(rows: Sequence[LeaderboardRow], output: Path) -> None:
    """Accuracy over the visual tokens of an episode: a point for every model in every mode.

    A model is a colour, a mode a marker; several first views of a model in a mode are a curve. Bars
    are 95 % intervals.
    """
    known = [row for row in rows if row.n and row.mean("visual_tokens")]
    models = list(dict.fromkeys(without_budget(row.model) for row in known))
    modes = list(dict.fromkeys(row.mode for row in known))
    with figure_in_style(output, 2.9) as figure:
        axes = figure.subplots()
        for model, colour in zip(models, itertools.cycle(COLOURS), strict=False):
            for mode, marker in zip(modes, itertools.cycle(MARKERS), strict=False):
                own = [r for r in known if r.mode == mode and without_budget(r.model) == model]
                _draw_mode(axes, own, colour, marker)
            axes.plot([], [], color=colour, linewidth=4, label=model)
        for mode, marker in zip(modes, itertools.cycle(MARKERS), strict=False):
            axes.plot(
                [], [], color="#333333", marker=marker, markersize=4, linestyle="none", label=mode
            )
        axes.set_xlabel("Visual tokens of an episode")
        axes.set_ylabel("Accuracy (with 95 % interval)")
        axes.set_ylim(0, 1.02)
        if known:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:,.0f}")
            legend_above(figure, *axes.get_legend_handles_labels())
        else:
            axes.text(0.5, 0.5, "No engine has told its visual tokens.", ha="center")


def _draw_mode(axes: Axes, rows: Sequence[LeaderboardRow], colour: str, marker: str) -> None:
    points = sorted(
        (
            row.mean("visual_tokens") or 0.0,
            row.accuracy or 0.0,
            row.ci_low or 0.0,
            row.ci_high or 0.0,
        )
        for row in rows
    )
    for tokens, accuracy, low, high in points:
        below, above = max(0.0, accuracy - low), max(0.0, high - accuracy)
        axes.errorbar(
            tokens,
            accuracy,
            [[below], [above]],
            color=colour,
            marker=marker,
            capsize=1,
            alpha=0.85,
            markersize=4,
            elinewidth=0.6,
        )
    axes.plot(
        [point[0] for point in points], [point[1] for point in points], color=colour, linewidth=1
    )


FIGURE = LeaderboardFigure(title="accuracy over visual tokens", category="Results", draw=draw)
