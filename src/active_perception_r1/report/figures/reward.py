"""How the terms of the reward changed while a model was trained."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from active_perception_r1.report.figures._curves import WINDOW, Curves, running_mean
from active_perception_r1.report.figures._figure import TrainingFigure
from active_perception_r1.report.figures._style import COLOURS, figure_in_style, legend_above
from active_perception_r1.rewards.active_vision_reward import TERMS

_DASHES = ("solid", "dashed", "dotted", "dashdot")


def draw(curves: Curves, output: Path) -> None:
    """The mean of each term over the steps of the run; one that was 0 in all of them is left out.

    Raises:
        DataError: it has no term of a reward.
    """
    known = curves.known(TERMS)
    drawn = [name for name, curve in known.items() if curve.values.any()]
    with figure_in_style(output, 2.6) as figure:
        axes = figure.subplots()
        for name, (dashes, colour) in zip(drawn, product(_DASHES, COLOURS), strict=False):
            steps, values = known[name]
            label = TERMS[name]
            axes.plot(
                steps,
                running_mean(values),
                color=colour,
                linestyle=dashes,
                linewidth=1,
                label=label,
            )
        axes.set_xlabel("GRPO step")
        axes.set_ylabel(f"Mean per episode, over {WINDOW} steps")
        legend_above(figure, *axes.get_legend_handles_labels())


FIGURE = TrainingFigure(title="terms of the reward", category="Training", draw=draw)
