"""Tables of a leaderboard about the looking, as finished text: was it needed, where was it."""

from __future__ import annotations

from collections.abc import Sequence

from active_perception_r1.scoring.formats import MISSING, share
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, Need

Table = list[dict[str, str]]

NECESSITY = """\
- **Recall**: zoomed, of the questions that the baseline gets wrong and the oracle right. **Waste**:
  zoomed, of those that the baseline gets right.
- **Faithful**: right, with at least half of the evidence in one crop, of the questions whose
  evidence is known: beside the accuracy, it tells what was read from a crop.
- **Tool-only**: of the right answers, those that none of the modes beside it gets right, in which
  the model sees no crop of its choice. **Gain**, **harm**: questions that went from wrong in the
  baseline to right, and from right to wrong. Counts and intervals are in `diagnosis.md`."""


def necessity_table(rows: Sequence[LeaderboardRow]) -> Table:
    """A line for every row in which the model zooms for real, if there are any to compare with."""
    return [
        {
            "Model": row.model,
            "Mode": row.mode,
            "Recall": share(row.zoom_recall),
            "Waste": share(row.zoom_waste),
            "Faithful": share(row.faithful_accuracy),
            "Tool-only": share(row.tool_only),
            "beside": row.tool_only_beside or MISSING,
            "Gain": MISSING if row.gained is None else f"+{row.gained}",
            "Harm": MISSING if row.harmed is None else f"-{row.harmed}",
        }
        for row in rows
        if row.tool_only_beside or row.faithful_accuracy is not None
    ]


def need_table(rows: Sequence[LeaderboardRow]) -> Table:
    """How questions that need a zoom went, and the others; nothing where all are of one kind."""
    if all(len(row.by_requires_zoom) < 2 for row in rows):
        return []
    return [
        {
            "Model": row.model,
            "Mode": row.mode,
            **{
                f"{name}: {what}": cell
                for name, key in (("Needed", "true"), ("Not needed", "false"))
                for what, cell in _need(row.by_requires_zoom.get(key)).items()
            },
        }
        for row in rows
    ]


def _need(kind: Need | None) -> dict[str, str]:
    return {
        "n": str(kind.n) if kind else MISSING,
        "accuracy": share(kind.accuracy if kind else None),
        "zoom rate": share(kind.zoom_rate if kind else None),
    }
