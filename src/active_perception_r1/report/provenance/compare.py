"""Do two leaderboards say the same: a new one and a pinned one, two studies, two files?

A row says the same if its accuracy is off by no more than a bound:

- `tolerance` for weights that came as they are: the same questions are decoded greedily, so that
  only the last bits of sums differ between machines, and these flip few answers;
- for a model that was trained in the run, the larger of that and the sum of both half-widths of the
  95 % intervals: training amplifies last bits into another, equally good run, so that less than
  what sampling would explain cannot be told from luck.

Rows must be the same models and modes, on as many questions. Where both sides have tables of scores
about the same questions, the paired test of the leaderboard says besides how many answers were
gained and harmed, and by what chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, TypeAdapter, ValidationError
from tabulate import tabulate

from active_perception_r1.errors import DataError
from active_perception_r1.scoring.comparisons import against
from active_perception_r1.scoring.formats import MISSING, chance, share
from active_perception_r1.scoring.paired_tests import PairedTest
from active_perception_r1.scoring.score_tables import read_tables

BOARD = "leaderboard.json"


class Result(BaseModel):
    """As much of a leaderboard's row as is compared; pins of older versions have it, too."""

    model: str
    mode: str
    n: int
    accuracy: float | None
    ci_low: float | None
    ci_high: float | None
    delta_vs_start: float | None = None

    @property
    def half_width(self) -> float:
        return ((self.ci_high or 0.0) - (self.ci_low or 0.0)) / 2


_RESULTS = TypeAdapter(list[Result])
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model in one mode, on both sides.

    Attributes:
        before, after: its rows; None where it has none.
        rule: what was allowed to it, in words.
        bound: the largest difference in accuracy that this rule allows.
        test: on the questions that were judged on both sides; None where scores are missing.
    """

    model: str
    mode: str
    before: Result | None
    after: Result | None
    rule: str
    bound: float
    test: PairedTest | None

    @property
    def difference(self) -> float | None:
        """Accuracy after minus accuracy before."""
        if not (self.before and self.after):
            return None
        if self.before.accuracy is None or self.after.accuracy is None:
            return None
        return self.after.accuracy - self.before.accuracy

    @property
    def fault(self) -> str:
        """Why the two sides do not say the same; empty if they do."""
        if self.before is None or self.after is None:
            return "only after" if self.before is None else "only before"
        if self.before.n != self.after.n:
            return f"{self.after.n} questions, before {self.before.n}"
        apart = self.difference is not None and abs(self.difference) > self.bound
        return f"more than {self.bound:.3f} apart" if apart else ""


def compare(before: Path, after: Path, tolerance: float) -> list[Comparison]:
    """Every row of either leaderboard, in the order of the first, then of the second.

    Args:
        before, after: folders of results, pinned or not, or files in the form of leaderboard.json.

    Raises:
        DataError: a leaderboard is missing or damaged.
    """
    rows = _read(before), _read(after)
    found = []
    for model, mode in dict.fromkeys([*rows[0], *rows[1]]):
        old, new = (side.get((model, mode)) for side in rows)
        rule, bound = _rule(old, new, tolerance)
        test = _paired(before, after, model, mode) if old and new else None
        found.append(Comparison(model, mode, old, new, rule, bound, test))
    return found


def as_table(found: Sequence[Comparison]) -> str:
    """For a terminal."""
    return tabulate([dict(_cells(row)) for row in found], headers="keys", disable_numparse=True)


def _cells(row: Comparison) -> Iterator[tuple[str, str]]:
    yield "model", row.model
    yield "mode", row.mode
    for name, side in (("before", row.before), ("after", row.after)):
        yield name, share(side.accuracy) if side else MISSING
    yield "difference", MISSING if row.difference is None else f"{row.difference:+.3f}"
    yield "rule", row.rule
    yield "gained, harmed", f"+{row.test.gained} -{row.test.harmed}" if row.test else MISSING
    yield "chance", chance(row.test.p_value) if row.test else MISSING
    yield "verdict", row.fault or "same"


def _read(path: Path) -> dict[_Key, Result]:
    path = path / BOARD if path.is_dir() else path
    try:
        return {(row.model, row.mode): row for row in _RESULTS.validate_json(path.read_bytes())}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run leaderboard") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DataError(f"{path}: {where}: {first['msg']}; run leaderboard again") from None


def _rule(before: Result | None, after: Result | None, tolerance: float) -> tuple[str, float]:
    if before and after and after.delta_vs_start is not None:
        both = before.half_width + after.half_width
        if both > tolerance:
            return f"trained: {both:.3f}, both half-widths", both
    return f"within {tolerance:g}", tolerance


def _paired(before: Path, after: Path, model: str, mode: str) -> PairedTest | None:
    paths = [side / "scores" / model / f"{mode}.parquet" for side in (before, after)]
    if not all(path.exists() for path in paths):
        return None
    try:
        old, new = (_scores(path) for path in paths)
    except DataError:  # of a version that scored in other columns
        return None
    if set(old.index) != set(new.index):
        return None
    return against(old.reindex(new.index), new)


def _scores(path: Path) -> pd.DataFrame:
    columns = ["doc_id", "tool_status", "error", "correct"]
    (table,) = read_tables({("", ""): path}, columns).values()
    return table
