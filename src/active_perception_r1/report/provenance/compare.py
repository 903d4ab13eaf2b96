"""Does a leaderboard that was made anew say what a pinned one says?

A row is reproduced if its accuracy is off by no more than a bound:

- `tolerance` for weights that came as they are: the same questions are decoded
  greedily, so that only the last bits of sums differ between machines, and these flip few answers;
- for a model that was trained in the run, the larger of that and the sum of both half-widths of the
  95 % intervals: training amplifies last bits into another, equally good run, so that less than
  what sampling would explain cannot be told from luck.

Rows must be the same models and modes, on as many questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from active_perception_r1.scoring.tables import read_leaderboard

Row = dict[str, Any]


def unreproduced(pinned: Path, results: Path, tolerance: float) -> list[str]:
    """The rows of two folders' leaderboards that differ, one line for each.

    Raises:
        DataError: a leaderboard is missing or damaged.
    """
    before, after = (
        {(row["model"], row["mode"]): row for row in read_leaderboard(folder / "leaderboard.json")}
        for folder in (pinned, results)
    )
    found = [f"{model} {mode}: only pinned" for model, mode in before.keys() - after.keys()]
    found += [f"{model} {mode}: not pinned" for model, mode in after.keys() - before.keys()]
    for model, mode in before.keys() & after.keys():
        pair = before[model, mode], after[model, mode]
        found += (f"{model} {mode}: {text}" for text in _difference(*pair, tolerance))
    return sorted(found)


def _difference(before: Row, after: Row, tolerance: float) -> Iterator[str]:
    if before["n"] != after["n"]:
        yield f"{after['n']} questions, pinned {before['n']}"
        return
    if not before["n"]:
        return
    bound = tolerance
    if before["delta_vs_start"] is not None:
        bound = max(bound, _half_width(before) + _half_width(after))
    if abs(after["accuracy"] - before["accuracy"]) > bound:
        yield (
            f"accuracy {after['accuracy']:.3f}, pinned {before['accuracy']:.3f};"
            f" more than {bound:.3f} apart"
        )


def _half_width(row: Row) -> float:
    return float(row["ci_high"] - row["ci_low"]) / 2
