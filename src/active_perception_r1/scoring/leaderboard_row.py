"""The row of a leaderboard: one model in one mode, with how sure each number is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from active_perception_r1.columns import Column
from active_perception_r1.errors import DataError


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval, which few documents do not have."""

    mean: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, slots=True)
class Layout:
    """The questions about pages of one layout."""

    n: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Need:
    """The questions that need a zoom, or those that need none, as the slice says."""

    n: int
    accuracy: float
    zoom_rate: float


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One model in one mode. Null is what does not exist, such as a difference to itself.

    In JSON, an entry X of `means` is three keys: `X`, `X_ci_low` and `X_ci_high`; its names are
    those of `measures`, and `delta_X` and `delta_X_vs_start` for those that are compared; and
    `price`.
    """

    model: Annotated[str, Column("name in the configuration, with the budget of its first view")]
    mode: Annotated[str, Column("mode of evaluation")]
    n: Annotated[int, Column("questions that were run, errors among them", "questions")]
    accuracy: Annotated[float | None, Column("of the n, how many were right", "share")]
    ci_low: Annotated[float | None, Column("95 % interval of the accuracy: lower end", "share")]
    ci_high: Annotated[float | None, Column("upper end", "share")]
    delta_baseline: Annotated[
        float | None, Column("accuracy minus that of the same model's baseline", "-1 to 1")
    ]
    p_value: Annotated[float | None, Column("p of the paired test of this difference", "0 to 1")]
    zoom_rate: Annotated[
        float | None, Column("episodes in which the model saw a crop it had asked for", "share")
    ]
    strict_satisfied: Annotated[
        float | None,
        Column("episodes with a crop and then an answer; in modes that require a zoom", "share"),
    ]
    tool_status: Annotated[
        Mapping[str, int], Column("episodes by how they ended (`records.ToolStatus`)", "episodes")
    ]
    n_errors: Annotated[
        int, Column("of the n, how many ended in an error that is not the model's", "episodes")
    ]
    errors: Annotated[str, Column("the first of these, in words")]
    n_no_evidence: Annotated[
        int, Column("not in n, since the oracle has no evidence to show", "questions")
    ]
    documents: Annotated[int, Column("documents that the n questions are about", "documents")]
    n_effective: Annotated[
        float,
        Column("how many questions about a document each the n are worth", "questions"),
    ]
    min_detectable: Annotated[
        float | None,
        Column("difference in accuracy that the test shows with 80 % power; null: none", "share"),
    ]
    headroom: Annotated[
        float | None, Column("accuracy of the oracle minus that of the baseline", "-1 to 1")
    ]
    n_compared: Annotated[
        int | None,
        Column("of the comparison with the baseline: errors on either side left out", "questions"),
    ]
    gained: Annotated[int | None, Column("wrong in the baseline, right in this mode", "questions")]
    harmed: Annotated[int | None, Column("right in the baseline, wrong in this mode", "questions")]
    p_holm: Annotated[
        float | None, Column("`p_value`, adjusted for all tests of the leaderboard", "0 to 1")
    ]
    delta_vs_start: Annotated[
        float | None,
        Column("accuracy minus that of the model that training started from", "-1 to 1"),
    ]
    n_compared_vs_start: Annotated[
        int | None, Column("of this comparison: errors on either side left out", "questions")
    ]
    p_vs_start: Annotated[float | None, Column("p of the paired test of this difference", "0 to 1")]
    p_vs_start_holm: Annotated[
        float | None, Column("`p_vs_start`, adjusted for all tests of the leaderboard", "0 to 1")
    ]
    by_layout: Annotated[
        Mapping[str, Layout], Column("`n` and `accuracy` for each kind of page that has a name")
    ]
    cycle_accuracy: Annotated[
        float | None,
        Column(
            "mean of the accuracies in each order of the options, as HR-Bench counts; null where"
            " questions are asked in one order",
            "share",
        ),
    ]
    by_requires_zoom: Annotated[
        Mapping[str, Need],
        Column(
            "`n`, `accuracy` and `zoom_rate` for the questions that need a zoom, as the slice says"
            " (`true`), and for the others (`false`)"
        ),
    ]
    zoom_recall: Annotated[
        float | None,
        Column(
            "zoomed, of the questions that the baseline gets wrong and the oracle right", "share"
        ),
    ]
    zoom_waste: Annotated[
        float | None, Column("zoomed, of the questions that the baseline gets right", "share")
    ]
    faithful_accuracy: Annotated[
        float | None,
        Column(
            "right, with half of the evidence in one crop; of those whose evidence is known",
            "share",
        ),
    ]
    tool_only: Annotated[
        float | None,
        Column(
            "of the right answers, those that no mode of `tool_only_beside` gets right", "share"
        ),
    ]
    tool_only_beside: Annotated[
        str, Column("modes of the study in which the model sees no crop of its choice")
    ]
    tokens_per_gain: Annotated[
        float | None,
        Column(
            "visual and text tokens beyond the baseline's, for each answer gained less those"
            " harmed; null where no more were gained",
            "tokens an answer",
        ),
    ]
    first_view_pixels: Annotated[
        int | None, Column("budget of the first view, where the study has several", "pixels")
    ]
    seeds: Annotated[
        int | None, Column("repeats with different seeds, this model among them", "models")
    ]
    seeds_mean: Annotated[float | None, Column("mean accuracy of the repeats", "share")]
    seeds_sd: Annotated[float | None, Column("standard deviation between them", "share")]
    seeds_ci_low: Annotated[float | None, Column("95 % interval of this mean: lower end", "share")]
    seeds_ci_high: Annotated[float | None, Column("upper end", "share")]
    means: Mapping[str, Estimate]

    def mean(self, measure: str) -> float | None:
        """The mean of a measure; None where it has none."""
        return self.means[measure].mean if measure in self.means else None


_ROW = TypeAdapter(LeaderboardRow)
_OWN = [field.name for field in fields(LeaderboardRow) if field.name != "means"]
_ENDS = ("ci_low", "ci_high")


def number_of_tests(rows: Sequence[LeaderboardRow]) -> int:
    """The size of the family for which the p values of a leaderboard are adjusted."""
    return sum(p is not None for row in rows for p in (row.p_value, row.p_vs_start))


def rounded(row: LeaderboardRow) -> LeaderboardRow:
    """As it is written: numbers with 6 significant digits, and what is not a number as None."""
    return _ROW.validate_python(_plain(asdict(row)))


def as_json(row: LeaderboardRow) -> dict[str, Any]:
    """Its keys and values in a `leaderboard.json`."""
    own = asdict(row)
    means: Mapping[str, Mapping[str, float | None]] = own.pop("means")
    for name, mean in means.items():
        own |= {name: mean["mean"], **{f"{name}_{end}": mean[end] for end in _ENDS}}
    return own


def read_leaderboard(path: Path) -> list[LeaderboardRow]:
    """The rows of a `leaderboard.json`.

    Raises:
        DataError: the file is missing, damaged, or of another version.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [_from_json(row) for row in rows]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run leaderboard") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; it is damaged or of"
            " another version, run leaderboard again"
        ) from None
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{path}: not a leaderboard in JSON; run leaderboard again") from None


def _from_json(row: Mapping[str, Any]) -> LeaderboardRow:
    others = {name: value for name, value in row.items() if name not in _OWN}
    means = {
        name: {"mean": mean, **{end: others[f"{name}_{end}"] for end in _ENDS}}
        for name, mean in others.items()
        if all(f"{name}_{end}" in others for end in _ENDS)
    }
    own = {name: row[name] for name in _OWN if name in row}
    return _ROW.validate_python({**own, "means": means})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):  # numpy.float64 is one
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
