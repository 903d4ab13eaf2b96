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

from pydantic import BaseModel, TypeAdapter, ValidationError

from active_perception_r1.errors import DataError


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
    def name(self) -> str:
        return f"{self.model} {self.mode}"

    @property
    def half_width(self) -> float:
        return ((self.ci_high or 0.0) - (self.ci_low or 0.0)) / 2


_RESULTS = TypeAdapter(list[Result])


def unreproduced(pinned: Path, results: Path, tolerance: float) -> list[str]:
    """The rows of two folders' leaderboards that differ, one line for each.

    Raises:
        DataError: a leaderboard is missing or damaged.
    """
    before, after = (_read(folder / "leaderboard.json") for folder in (pinned, results))
    found = [f"{name}: only pinned" for name in before.keys() - after.keys()]
    found += [f"{name}: not pinned" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        found += (f"{name}: {text}" for text in _difference(before[name], after[name], tolerance))
    return sorted(found)


def _read(path: Path) -> dict[str, Result]:
    try:
        return {row.name: row for row in _RESULTS.validate_json(path.read_bytes())}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run leaderboard") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DataError(f"{path}: {where}: {first['msg']}; run leaderboard again") from None


def _difference(before: Result, after: Result, tolerance: float) -> Iterator[str]:
    if before.n != after.n:
        yield f"{after.n} questions, pinned {before.n}"
        return
    if before.accuracy is None or after.accuracy is None:
        return
    bound = tolerance
    if after.delta_vs_start is not None:
        bound = max(bound, before.half_width + after.half_width)
    if abs(after.accuracy - before.accuracy) > bound:
        yield (
            f"accuracy {after.accuracy:.3f}, pinned {before.accuracy:.3f};"
            f" more than {bound:.3f} apart"
        )
