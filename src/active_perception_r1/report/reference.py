"""What the columns of all results mean, from the records that declare them.

`python -m active_perception_r1.report.reference` writes the page `docs/columns.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from active_perception_r1.columns import Column, columns
from active_perception_r1.rewards.active_vision_reward import KEYS
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow
from active_perception_r1.scoring.measures import PRICE, Measure, measures
from active_perception_r1.scoring.score_row import ScoreRow
from active_perception_r1.training.metrics import StepMetrics
from active_perception_r1.training.verl_metrics import VerlStepMetrics

PAGE = Path("docs/columns.md")

_INTRODUCTION = """\
# Names, units and ranges of all numbers

A quantity has one name, in tables of scores, leaderboards, training metrics, figures and the
gallery. A *share* is in [0, 1]; boxes, areas and heights are in page coordinates, 0 to 1. Null is
what does not exist. This page is written by `make reference`, from where the columns are declared.
"""
_SCORES = """\
`scores/{model}/{mode}.parquet`, one row a question, in the order of the slice. After an error that
is not the model's there is neither an answer nor a reward."""
_MEASURES = """\
All others are numbers. The leaderboard has the mean of each over the episodes that have one, as
`X`, with its 95 % interval over documents, `X_ci_low` and `X_ci_high`. *Zoom*: in modes with the
zoom tool only. *Compared*: also the difference to the baseline, `delta_X`, and to the model that
training started from, `delta_X_vs_start`."""
_BOARD = """\
`leaderboard.json` and `.csv`: one row for a model in a mode, with the means above after these, and
that of `price`."""
_TRAINING = """\
`training/{run}/metrics.jsonl`: one line a step. Besides these, it has the mean of every field of
the reward under its name above; `correct` is then the share of right answers, and `curiosity_bonus`
what was paid for a look that few of a group took. The last four are of the engine `verl`."""
_VERL = """\
`compute_score` has names of its own for the fields of the reward, by which trainers know it:"""
_WORDS = {str: "text", bool: "true or false", int: "whole number", float: "number"}


def page() -> str:
    """The reference of all columns, as Markdown."""
    steps = {**columns(StepMetrics), **columns(VerlStepMetrics)}
    parts = [
        _INTRODUCTION,
        "## Scores",
        _SCORES,
        _table(columns(ScoreRow), get_type_hints(ScoreRow)),
        _MEASURES,
        _measures(measures()),
        "## Leaderboard",
        _BOARD,
        _table({**columns(LeaderboardRow), "price": PRICE}, get_type_hints(LeaderboardRow)),
        "## Training",
        _TRAINING,
        _table(steps, get_type_hints(VerlStepMetrics)),
        _VERL,
        _rows(["here", "in `compute_score`"], [[f"`{a}`", f"`{b}`"] for a, b in KEYS.items()]),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _table(described: Mapping[str, Column], types: Mapping[str, Any]) -> str:
    rows = [
        [f"`{name}`", column.unit or _type(types[name]), column.description]
        for name, column in described.items()
    ]
    return _rows(["Name", "Unit or type", "Meaning"], rows)


def _measures(found: Mapping[str, Measure]) -> str:
    rows = [
        [
            f"`{name}`",
            measure.column.unit,
            measure.column.description,
            ", ".join(
                ["zoom"] * measure.needs_tool + ["compared"] * measure.compared,
            ),
        ]
        for name, measure in found.items()
    ]
    return _rows(["Name", "Unit", "Meaning", "Mean"], rows)


def _type(hint: Any) -> str:
    if isinstance(hint, UnionType):
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
    return "numbers by name" if get_origin(hint) else _WORDS[hint]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
