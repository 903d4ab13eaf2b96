"""The figure of `active-perception legibility`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from active_perception_r1.report.figures._style import (
    COLOURS,
    MARKERS,
    figure_in_style,
    legend_above,
)
from active_perception_r1.scoring.legibility import Legibility


def draw(rows: Sequence[Legibility], output: Path) -> None:
    """The share of legible answers over the pixels of the view, a curve for each view.

    Bands are 95 % intervals.
    """
    views = list(dict.fromkeys(row.view for row in rows if row.n))
    with figure_in_style(output, (5.0, 3.4)) as figure:
        axes = figure.subplots()
        for view, marker, colour in zip(views, MARKERS, COLOURS, strict=False):
            points = [
                (row.pixels, row.legible or 0.0, row.ci_low or 0.0, row.ci_high or 0.0)
                for row in rows
                if row.view == view
            ]
            pixels, legible, low, high = zip(*points, strict=True)
            axes.plot(pixels, legible, color=colour, marker=marker, markersize=5, label=view)
            axes.fill_between(pixels, low, high, color=colour, alpha=0.15, linewidth=0)
        budgets = sorted({row.pixels for row in rows})
        axes.set_xscale("log", base=2)
        axes.set_xticks(budgets, [f"{pixels:,}" for pixels in budgets])
        axes.minorticks_off()
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("Pixels of the view")
        axes.set_ylabel("Legible answers (with 95 % interval)")
        legend_above(figure, *axes.get_legend_handles_labels())
