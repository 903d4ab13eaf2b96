"""Tables of a leaderboard about the looking, as finished text: was it needed, what did it cost."""

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

COST = """\
- Means with 95 % intervals. **Visual tokens**, **text tokens**: of the whole conversation, each
  image and each text counted once; *about*, where they were not counted, but follow from the sizes
  of the images. **Crop pixels**: of the crops that were shown.
- **Price**: of the tokens of all turns, as a server bills them: a later one reads its whole
  conversation anew. **Tokens a gain**: beyond the baseline's, for each answer gained less those
  harmed. Seconds are in `leaderboard.json`: they are measured, and differ from run to run."""


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


def cost_table(rows: Sequence[LeaderboardRow]) -> Table:
    """Nothing where no engine could tell; without prices where no model has one."""
    if all(row.mean("visual_tokens") is None for row in rows):
        return []
    priced = any(row.mean("price") is not None for row in rows)
    return [
        {
            "Model": row.model,
            "Mode": row.mode,
            "Visual tokens": "about " * bool(row.mean("visual_tokens_estimated"))
            + _amount(row, "visual_tokens"),
            "Text tokens": _amount(row, "text_tokens"),
            "Crop pixels": _amount(row, "crop_pixels"),
            **({"Price": _amount(row, "price", ".3g")} if priced else {}),
            "Tokens a gain": MISSING
            if row.tokens_per_gain is None
            else f"{round(row.tokens_per_gain):,}",
        }
        for row in rows
    ]


def _amount(row: LeaderboardRow, name: str, form: str = ",.1f") -> str:
    found = row.means[name]
    if found.mean is None:
        return MISSING
    if found.ci_low is None:
        return f"{found.mean:{form}}"
    return f"{found.mean:{form}} [{found.ci_low:{form}}, {found.ci_high:{form}}]"


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
