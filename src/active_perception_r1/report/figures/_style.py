"""What all figures have in common: the house style, and how they are saved.

All are as wide as a column of a paper, with text of one size, which stays text. The suffix of the
output (.svg, .pdf, .png) decides the format; an SVG has the same figure as a PDF beside it. Equal
data give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from active_perception_r1.errors import DataError
from active_perception_r1.storage.files import atomic

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

# Okabe and Ito's palette, distinguishable with any colour vision; grey stands in for its black, on
# which no interval could be seen.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "p", "<", "h", ">")
_HATCHES = ("", "///", "...", "xxx")
_STYLE: Any = {  # Matplotlib's own type for this is a union of all its keys.
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "figure.dpi": 300,
    "figure.labelsize": "medium",
    "font.size": 7,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "xtick.labelsize": "medium",
    "ytick.labelsize": "medium",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "legend.fontsize": "medium",
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "pdf.fonttype": 42,  # as text: letters of a font, not shapes
    "svg.fonttype": "none",
    "svg.hashsalt": "active-perception-r1",
}
WIDTH = 3.35
"""Inches: a column of a paper in two columns."""
_COLUMNS = 4  # of a legend
_NO_DATES: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
    ".png": {"Software": None},
}


def look(number: int) -> tuple[str, str]:
    """Colour and hatch of the bars of one kind; kinds beyond the colours are told by the hatch."""
    repeat, colour = divmod(number, len(COLOURS))
    return COLOURS[colour], _HATCHES[repeat % len(_HATCHES)]


@contextmanager
def figure_in_style(output: Path, height: float) -> Iterator[Figure]:
    """A figure in the house style, saved when the block ends; touches no global state.

    Args:
        height: in inches.

    Raises:
        DataError: no such format.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if output.suffix not in _NO_DATES:
        raise DataError(f"{output}: figures are written as {', '.join(_NO_DATES)}")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        for path in (output, output.with_suffix(".pdf")) if output.suffix == ".svg" else (output,):
            with atomic(path) as part:
                kind = path.suffix.removeprefix(".")
                figure.savefig(part, format=kind, metadata=_NO_DATES[path.suffix])


def legend_above(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend over the axes, in as many columns as fit into the width of the figure."""
    for columns in range(_COLUMNS, 0, -1):
        legend = figure.legend(handles, labels, loc="outside upper left", ncols=columns)
        if columns == 1 or legend.get_window_extent().width < figure.bbox.width:
            return
        legend.remove()
