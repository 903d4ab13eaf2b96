"""The leaderboard: every model in every mode on the same samples, with how sure each number is.

Rows are in the order of the configuration. What they count:

- `n`: samples that were played. An error of the engine or of a sample's data (`n_errors`; `errors`
  names the first ones) stays in n and counts as not correct. An oracle episode without known
  evidence could not be played (`n_no_evidence`): it is not in n, and the oracle is compared with
  the baseline on the samples that it did play.
- `ci_low`, `ci_high`: Wilson's 95 % interval of the accuracy; `anls_ci_*` and `coverage_ci_*` are
  bootstrap intervals over documents.
- `delta_baseline`, `p_value`, `gained`, `harmed`: against the same model's baseline, question by
  question (exact McNemar test); null for the baseline itself.
- `delta_base`, `p_base`: a trained model against the model it started from, in the same mode.
- `first_view_pixels`: the budget of a model that the study shows several; null for the others.
- `headroom`: what perfect zooming could gain: the oracle's `delta_baseline`.
- `crop_usage`: share of episodes in which the model saw at least one crop it asked for;
  `strict_satisfied`: share with a crop and then an answer, in fail-closed modes only.
- `mean_coverage`: best coverage of the evidence, averaged over episodes with known evidence, those
  without a zoom counting 0; null in modes without the zoom tool.
- `reward`: mean over episodes without an error.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from active_perception_r1.data.files import atomic
from active_perception_r1.errors import DataError
from active_perception_r1.mode_rules import MODES
from active_perception_r1.records import Mode, ToolStatus
from active_perception_r1.scoring.statistics import (
    PairedTest,
    clustered_interval,
    paired_test,
    wilson_interval,
)
from active_perception_r1.scoring.tables import as_csv, as_markdown
from active_perception_r1.variants import first_view_pixels

MAX_NAMED_ERRORS, MAX_ERROR_LENGTH = 3, 160
Row = dict[str, Any]


class Entry(NamedTuple):
    """What one row is about."""

    model: str
    mode: Mode


def leaderboard(
    scores: Mapping[tuple[str, str], Path],
    output: Path,
    study: str,
    base_of: Mapping[str, str],
) -> list[Row]:
    """Write `leaderboard.json`, `.csv` and `.md` into the folder `output` and return the rows.

    Args:
        scores: score tables by (model, mode), in the order of the rows.
        output: folder, made if need be.
        study: name for the title.
        base_of: for each trained model, the model that it started from.

    Raises:
        DataError: a table cannot be read, or the tables are not about the same samples.
    """
    paths = {Entry(model, Mode(mode)): path for (model, mode), path in scores.items()}
    tables = {entry: _read(path) for entry, path in paths.items()}
    _require_same_samples(tables, paths)
    rows = [_row(entry, tables, base_of) for entry in tables]
    documents = {
        "leaderboard.json": json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "leaderboard.csv": as_csv(rows),
        "leaderboard.md": as_markdown(rows, study),
    }
    for name, text in documents.items():
        with atomic(output / name) as part:
            part.write_text(text, encoding="utf-8")
    return rows


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path).set_index("sample_id")
    except (OSError, ValueError, KeyError) as error:  # Arrow's errors are ValueErrors.
        raise DataError(f"{path}: not a table of scores ({error}); run score again") from None


def _require_same_samples(
    tables: Mapping[Entry, pd.DataFrame], paths: Mapping[Entry, Path]
) -> None:
    if not tables:
        raise DataError("there are no scores to make a leaderboard of")
    first, *others = tables
    for other in others:
        odd = tables[first].index.symmetric_difference(tables[other].index)
        if len(odd):
            raise DataError(
                f"{paths[first]} and {paths[other]} are not about the same samples: only one has"
                f" {odd[0]}; run score again"
            )


def _row(entry: Entry, tables: Mapping[Entry, pd.DataFrame], base_of: Mapping[str, str]) -> Row:
    everything, rules = tables[entry], MODES[entry.mode]
    table = _played(everything)
    baseline = tables.get(Entry(entry.model, Mode.BASELINE))
    against_baseline = _against(None if entry.mode is Mode.BASELINE else baseline, table)
    base = tables.get(Entry(base_of.get(entry.model, ""), entry.mode))
    against_base = _against(base, table)
    oracle = tables.get(Entry(entry.model, Mode.ORACLE))
    headroom = _against(baseline, _played(oracle)) if oracle is not None else None
    accuracy = wilson_interval(int(table["correct"].sum()), len(table)) if len(table) else None
    anls = clustered_interval(table["anls"].to_numpy(), table["doc_id"].tolist())
    seen = table[table["coverage"].notna()] if rules.tool else table.iloc[:0]
    coverage = clustered_interval(seen["coverage"].to_numpy(), seen["doc_id"].tolist())
    failed = table[table["error"] != ""]
    satisfied = (table["shown_zooms"] > 0) & table["answer"].notna()
    row: Row = {
        "model": entry.model,
        "mode": str(entry.mode),
        "n": len(table),
        "accuracy": table["correct"].mean(),
        "ci_low": accuracy and accuracy.low,
        "ci_high": accuracy and accuracy.high,
        "delta_baseline": against_baseline and against_baseline.difference,
        "p_value": against_baseline and against_baseline.p_value,
        "anls": table["anls"].mean(),
        "crop_usage": (table["shown_zooms"] > 0).mean(),
        "strict_satisfied": satisfied.mean() if rules.require_zoom else None,
        "mean_coverage": seen["coverage"].mean(),
        "reward": table["reward"].mean(),
        "tool_status": everything["tool_status"].value_counts().sort_index().to_dict(),
        "n_errors": len(failed),
        "errors": "; ".join(_in_short(failed.iloc[:MAX_NAMED_ERRORS])),
        "n_no_evidence": len(everything) - len(table),
        "documents": table["doc_id"].nunique(),
        "headroom": headroom and headroom.difference,
        "gained": against_baseline and against_baseline.gained,
        "harmed": against_baseline and against_baseline.harmed,
        "delta_base": against_base and against_base.difference,
        "p_base": against_base and against_base.p_value,
        "anls_lmms": table["anls_lmms"].mean(),
        "relaxed": table["relaxed"].mean(),
        "anls_ci_low": anls and anls.low,
        "anls_ci_high": anls and anls.high,
        "coverage_ci_low": coverage and coverage.low,
        "coverage_ci_high": coverage and coverage.high,
        "mean_iou": seen["iou"].mean(),
        "mean_zoom_calls": table["zoom_calls"].mean(),
        "by_layout": _by_layout(table),
        "first_view_pixels": first_view_pixels(entry.model),
    }
    return {key: _plain(value) for key, value in row.items()}


def _played(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["tool_status"] != str(ToolStatus.NO_EVIDENCE)]


def _against(before: pd.DataFrame | None, after: pd.DataFrame) -> PairedTest | None:
    """The paired test on the samples that both have played; None without a `before`."""
    if before is None:
        return None
    both = _played(before).index.intersection(after.index)
    return paired_test(before.loc[both, "correct"].tolist(), after.loc[both, "correct"].tolist())


def _in_short(failed: pd.DataFrame) -> Iterator[str]:
    for sample, error in failed["error"].items():
        yield f"{sample}: {textwrap.shorten(error, MAX_ERROR_LENGTH, placeholder=' …')}"


def _by_layout(table: pd.DataFrame) -> Row:
    """Samples and accuracy of each named layout, by name."""
    named = table[table["layout"] != ""]
    return {
        str(layout): {"n": len(group), "accuracy": group["correct"].mean()}
        for layout, group in named.groupby("layout")
    }


def _plain(value: Any) -> Any:
    """For JSON: plain numbers with 6 significant digits, NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):  # numpy.float64 is one
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
