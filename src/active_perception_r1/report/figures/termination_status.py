"""How episodes ended: the share of every termination status, for each model and mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from active_perception_r1.records import ToolStatus
from active_perception_r1.report.figures._figure import LeaderboardFigure
from active_perception_r1.report.figures._style import figure_in_style, legend_above, look
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow

_FIRST = list(ToolStatus).index(ToolStatus.ANSWERED)
# Every status keeps its look in every study. Most episodes end with an answer, so bars begin there.
LOOKS = {
    status: look(place)
    for place, status in enumerate([*list(ToolStatus)[_FIRST:], *list(ToolStatus)[:_FIRST]])
}


def draw(rows: Sequence[LeaderboardRow], output: Path) -> None:
    """A bar for each row, divided by how its episodes ended."""
    models = list(dict.fromkeys(row.model for row in rows))
    # A gap between models.
    places = [i + 0.5 * models.index(row.model) for i, row in enumerate(rows)]
    totals = [max(1, sum(row.tool_status.values())) for row in rows]
    drawn = {status for row in rows for status in row.tool_status}
    height = 0.7 + 0.08 * len(drawn) + 0.16 * (len(rows) + 0.5 * len(models))
    with figure_in_style(output, height) as figure:
        axes = figure.subplots()
        left = [0.0] * len(rows)
        for status, (colour, hatch) in LOOKS.items():
            shares = [
                row.tool_status.get(status, 0) / n for row, n in zip(rows, totals, strict=True)
            ]
            if any(shares):
                axes.barh(
                    places,
                    shares,
                    left=left,
                    height=0.75,
                    color=colour,
                    hatch=hatch,
                    edgecolor="white",
                    label=str(status).replace("_", " "),
                )
                left = [start + share for start, share in zip(left, shares, strict=True)]
        axes.set_yticks(places, [f"{row.model}  {row.mode}" for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 1)
        axes.margins(y=0.01)
        axes.set_xlabel("Share of episodes")
        legend_above(figure, *axes.get_legend_handles_labels())


FIGURE = LeaderboardFigure(
    title="how episodes ended", category="Results", file="endings.svg", draw=draw
)
