"""How episodes ended: the share of every tool status, for each model and mode."""

from __future__ import annotations

from pathlib import Path

from active_perception_r1.records import ToolStatus
from active_perception_r1.report.figures import COLOURS, figure_in_style
from active_perception_r1.scoring.tables import read_leaderboard

# A status keeps its look in every study: two looks for each colour make sixteen.
_LOOKS = {
    str(status): (COLOURS[i % len(COLOURS)], "" if i < len(COLOURS) else "///")
    for i, status in enumerate(
        [
            ToolStatus.ANSWERED,
            ToolStatus.ANSWERED_WITHOUT_ZOOM,
            ToolStatus.NO_ANSWER,
            ToolStatus.TRUNCATED,
            ToolStatus.ZOOM_LIMIT_REACHED,
            ToolStatus.MALFORMED_ZOOM,
            ToolStatus.INVALID_BBOX,
            ToolStatus.BACKEND_ERROR,
            ToolStatus.OUT_OF_BOUNDS,
            ToolStatus.TOO_SMALL,
            ToolStatus.NO_EVIDENCE,
            ToolStatus.ZOOM_EXECUTED,
        ]
    )
}


def endings(leaderboard: Path, output: Path) -> None:
    """Draw a bar for each row of a leaderboard, divided by how its episodes ended.

    Raises:
        DataError: the leaderboard is missing or damaged.
    """
    rows = read_leaderboard(leaderboard)
    labels = [f"{row['model']}  {row['mode']}" for row in rows]
    totals = [max(1, sum(row["tool_status"].values())) for row in rows]
    with figure_in_style(output, (8.0, 1.0 + 0.24 * len(rows))) as figure:
        axes = figure.subplots()
        left = [0.0] * len(rows)
        for status, (colour, hatch) in _LOOKS.items():
            shares = [
                row["tool_status"].get(status, 0) / n for row, n in zip(rows, totals, strict=True)
            ]
            if any(shares):
                axes.barh(
                    labels,
                    shares,
                    left=left,
                    height=0.75,
                    color=colour,
                    hatch=hatch,
                    edgecolor="white",
                    label=status.replace("_", " "),
                )
                left = [start + share for start, share in zip(left, shares, strict=True)]
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 1)
        axes.margins(y=0.01)
        axes.set_xlabel("Share of episodes")
        figure.legend(loc="outside upper left", ncols=4)
