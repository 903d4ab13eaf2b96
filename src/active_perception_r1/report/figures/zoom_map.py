"""Where zooms land: how often each place around the evidence was shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.geometry import Box
from active_perception_r1.report.answers import Answers
from active_perception_r1.report.figures._figure import EpisodesFigure
from active_perception_r1.report.figures._style import figure_in_style

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

Grid = npt.NDArray[np.float64]

_REACH = 0.5  # Page units from the centre of the evidence to the edge of the map.
_CELLS = 101  # Odd, so that one is centred on the evidence.


def draw(answers: Answers, output: Path) -> None:
    """For each model, which share of its crops showed each place around the evidence.

    Maps are in page units and centred on the evidence, on the box nearest to the crop where there
    are several: a perfect zoomer has one bright spot there, a wandering one a haze. The map of a
    model without a crop is empty.

    Raises:
        DataError: a file cannot be read.
    """
    # Not above: a plan needs to know which figures there are, and not pyarrow.
    from active_perception_r1.data.samples import read_slice

    slice_file, entries = answers.slice_file, answers.entries
    evidence = {s.id: [e.box for e in s.evidence] for s in read_slice(slice_file) if s.evidence}
    columns = min(2, len(entries))
    rows = math.ceil(len(entries) / columns)
    with figure_in_style(output, 0.4 + 1.7 * rows) as figure:
        grid: Any = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        edges = (-_REACH, _REACH, _REACH, -_REACH)
        for place, entry in enumerate(entries):
            axes = grid.flat[place]
            axes.tick_params(labelbottom=place + columns >= len(entries))
            heat, crops = shares(entry.predictions, evidence)
            image = axes.imshow(heat, extent=edges, cmap="viridis", vmin=0, vmax=1)
            if evidence:
                axes.add_patch(_outline([box for boxes in evidence.values() for box in boxes]))
            axes.set_title(f"{entry.model}\n{entry.mode}, {crops} crops")
            axes.grid(visible=False)
        for axes in grid.flat[len(entries) :]:
            axes.set_visible(False)
        if not evidence:
            figure.suptitle("No sample has known evidence")
        figure.supxlabel("Right of the evidence, in widths of the page")
        figure.supylabel("Below it, in heights of the page")
        figure.colorbar(image, ax=grid, label="Share of crops that show it", shrink=0.8)


def shares(predictions: Path, evidence: Mapping[str, list[Box]]) -> tuple[Grid, int]:
    """For each cell the share of shown crops that contain it, and the number of crops."""
    total, crops = np.zeros((_CELLS, _CELLS)), 0
    offsets = np.linspace(-_REACH, _REACH, _CELLS)
    for episode in read_predictions(predictions):
        targets = evidence.get(episode.sample_id)
        for step in episode.shown_crops:
            if targets is None or step.executed is None:
                continue
            box = step.executed
            x, y = min((t.centre for t in targets), key=lambda c: math.dist(c, box.centre))
            across = (box.x0 <= x + offsets) & (x + offsets <= box.x1)
            down = (box.y0 <= y + offsets) & (y + offsets <= box.y1)
            total += np.outer(down, across)
            crops += 1
    return total / max(1, crops), crops


def _outline(evidence: Sequence[Box]) -> Rectangle:
    """The evidence of median size."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    width = float(np.median([box.width for box in evidence]))
    height = float(np.median([box.height for box in evidence]))
    corner = (-width / 2, -height / 2)
    outline = Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=1.2)
    outline.set_path_effects([withStroke(linewidth=2.6, foreground="black")])  # on bright places
    return outline


FIGURE = EpisodesFigure(
    title="where zooms land",
    category="Results",
    draw=draw,
    shows=lambda mode: mode.zooms_for_real and not mode.require_zoom,
)
