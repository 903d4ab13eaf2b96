"""How a training run went, metric by metric."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from active_perception_r1.report.figures._curves import (
    WINDOW,
    Curve,
    Curves,
    Values,
    running_mean,
)
from active_perception_r1.report.figures._figure import TrainingFigure
from active_perception_r1.report.figures._style import COLOURS, MARKERS, figure_in_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    unit: str
    is_share: bool = False


_PANELS = {
    "reward": _Panel("Reward", "mean"),
    "correct": _Panel("Answer correct", "share", is_share=True),
    "coverage": _Panel("Coverage", "share", is_share=True),
    "zoom_rate": _Panel("Zoom rate", "share", is_share=True),
    "zoom_rate_needed": _Panel("Zoom rate, zoom needed", "share", is_share=True),
    "zoom_rate_not_needed": _Panel("Zoom rate, none needed", "share", is_share=True),
    "entropy": _Panel("Entropy", "nats a token"),
    "kl": _Panel("KL divergence", "nats a token"),
}


def draw(curves: Curves, output: Path) -> None:
    """A panel for each of these metrics that the run has.

    Raises:
        DataError: it has none of them.
    """
    known = curves.known(_PANELS)
    lines = -(-len(known) // _COLUMNS)
    with figure_in_style(output, 1.2 * lines + 0.2) as figure:
        grid = figure.subplots(lines, _COLUMNS, squeeze=False, sharex=True)
        for axes, (name, curve) in zip(grid.flat, known.items(), strict=False):
            _draw_metric(axes, _PANELS[name], curve)
            _draw_interval(axes, name, curves)
            _draw_validation(axes, name, curves)
        for axes in grid.flat[len(known) :]:
            axes.remove()
        figure.supxlabel(f"GRPO step (thin: each; thick: mean of {WINDOW}; shaded: 95 % interval)")


def _draw_metric(axes: Axes, panel: _Panel, curve: Curve) -> None:
    steps, values = curve
    axes.plot(steps, values, color=COLOURS[0], linewidth=0.5, alpha=0.4, marker=".", markersize=1)
    axes.plot(steps, running_mean(values), color=COLOURS[0], linewidth=1.2)
    axes.set_title(panel.title)
    axes.set_ylabel(panel.unit)
    axes.tick_params(labelbottom=True)
    if panel.is_share:
        axes.set_ylim(-0.02, 1.02)


def _draw_interval(axes: Axes, name: str, curves: Curves) -> None:
    """Of the share of right answers in every step."""
    if found := _interval(name, "", curves):
        steps, low, high = found
        axes.fill_between(steps, low, high, color=COLOURS[0], alpha=0.12, linewidth=0)


def _interval(name: str, of: str, curves: Curves) -> tuple[Values, list[float], list[float]] | None:
    """Steps, and the ends of Wilson's interval of a share of answers; None if it is none.

    It is that of as many answers as there are documents: those about one page may share their fate.

    Args:
        of: what the names of the metrics begin with.
    """
    from active_perception_r1.scoring.intervals import wilson  # scipy: not for declarations

    share, documents = (curves.by_name.get(f"{of}{part}") for part in (name, "documents"))
    if name != "correct" or share is None or documents is None:
        return None
    ends = [wilson(mean, count) for mean, count in zip(share.values, documents.values, strict=True)]
    return share.steps, [end.low for end in ends], [end.high for end in ends]


def _draw_validation(axes: Axes, name: str, curves: Curves) -> None:
    """The metric in validations, if the run has any, with intervals where they are known."""
    validation = f"validation_{name}"
    if (curve := curves.by_name.get(validation)) is None:
        return
    errors = None
    if found := _interval(name, "validation_", curves):
        _, low, high = found
        errors = [curve.values - np.array(low), np.array(high) - curve.values]
    axes.errorbar(
        *curve,
        yerr=errors,
        color=COLOURS[1],
        linewidth=1.2,
        marker=MARKERS[1],
        markersize=3,
        capsize=2,
        label="validation, greedy",
    )
    axes.legend()


FIGURE = TrainingFigure(title="learning curve", category="Training", draw=draw)
