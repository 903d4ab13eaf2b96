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
from active_perception_r1.scoring.legibility import CROP, FIRST_VIEW, Legibility


def draw(rows: Sequence[Legibility], output: Path) -> None:
    """The share of legible answers over the pixels of the first view, with the crop's as a line.

    Bands are 95 % intervals.
    """
    views, crops = ([row for row in rows if row.view == view] for view in (FIRST_VIEW, CROP))
    with figure_in_style(output, 2.4) as figure:
        axes = figure.subplots()
        pixels, shares, low, high = zip(*map(_point, views), strict=True)
        axes.plot(pixels, shares, color=COLOURS[0], marker=MARKERS[0], label=FIRST_VIEW)
        axes.fill_between(pixels, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
        for crop in (row for row in crops if row.n):
            size, level, *interval = _point(crop)
            name = f"{CROP}, {size:,} pixels"
            axes.axhline(level, color=COLOURS[1], linestyle="--", label=name)
            axes.axhspan(*interval, color=COLOURS[1], alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(pixels, [f"{size:,}" for size in pixels])
        axes.minorticks_off()
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("Pixels of the first view")
        axes.set_ylabel("Legible answers (with 95 % interval)")
        legend_above(figure, *axes.get_legend_handles_labels())


def _point(row: Legibility) -> tuple[int, float, float, float]:
    return row.pixels, row.legible or 0.0, row.ci_low or 0.0, row.ci_high or 0.0
