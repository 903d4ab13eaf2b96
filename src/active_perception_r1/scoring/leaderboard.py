"""The leaderboard: every model in every mode on the same samples, with how sure each number is.

Rows are in the order of the configuration. What they count:

- `n`: samples that were run. An error of the engine or of a sample's data (`n_errors`; `errors`
  names the first ones) stays in n and counts as not correct. An oracle episode without known
  evidence could not be run (`n_no_evidence`): it is not in n, and the oracle is compared with
  the baseline on the samples that it did run.
- `ci_low`, `ci_high`: Wilson's 95 % interval of the accuracy, for the effective number of questions
  where some share a document (`statistics.share_interval`); `anls_ci_*` and `coverage_ci_*` are
  bootstrap intervals over documents, null for fewer than `statistics.MIN_DOCUMENTS`.
- `delta_baseline`, `p_value`, `gained`, `harmed`: against the same model's baseline, question by
  question (exact McNemar test); null for the baseline itself. `delta_anls` with `delta_anls_ci_*`
  is the difference in ANLS, its interval from the same draws of documents on both sides.
- `delta_vs_start`, `p_vs_start`, `delta_anls_vs_start`: a trained model against the model it
  started from, in the same mode.
- `p_holm`, `p_vs_start_holm`: the p values, adjusted for all tests of the leaderboard.
- `first_view_pixels`: the budget of a model that the study shows several; null for the others.
- `min_detectable`: the smallest difference in accuracy that n questions can be expected to show
  (`statistics.detectable_difference`); null if they cannot show any.
- `headroom`: what perfect zooming could gain: the oracle's `delta_baseline`.
- `crop_usage`: share of episodes in which the model saw at least one crop it asked for;
  `strict_satisfied`: share with a crop and then an answer, in fail-closed modes only.
- `mean_coverage`: best coverage of the evidence, averaged over episodes with known evidence, those
  without a zoom counting 0; null in modes without the zoom tool.
- `reward`: mean over episodes without an error.
- `seeds`, `seeds_mean`, `seeds_sd`, `seeds_ci_*`: accuracy over the models that the study names as
  repeats of this one, which differ from it in their seed; null for a model without repeats.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.scoring.score_tables import Entry, Tables, read_tables, was_run
from active_perception_r1.scoring.statistics import (
    DocumentBootstrap,
    PairedTest,
    detectable_difference,
    holm,
    paired_test,
    share_interval,
)
from active_perception_r1.scoring.tables import as_csv, as_markdown
from active_perception_r1.storage.files import atomic
from active_perception_r1.variants import first_view_pixels

MAX_NAMED_ERRORS, MAX_ERROR_LENGTH = 3, 160
Row = dict[str, Any]

_COLUMNS = (
    *("doc_id", "layout", "correct", "relaxed", "anls", "anls_lmms", "answer", "tool_status"),
    *("error", "zoom_calls", "shown_zooms", "coverage", "iou", "reward"),
)


def leaderboard(
    scores: Mapping[tuple[str, str], Path],
    output: Path,
    study: str,
    started_from: Mapping[str, str],
    repeats: Mapping[str, Sequence[str]] | None = None,
) -> list[Row]:
    """Write `leaderboard.json`, `.csv` and `.md` into the folder `output` and return the rows.

    Args:
        scores: score tables by (model, mode), in the order of the rows.
        output: folder, made if need be.
        study: name for the title.
        started_from: for each trained model, the model that it started from.
        repeats: groups of models that differ in their seed only, by any name.

    Raises:
        DataError: a table cannot be read, or the tables are not about the same samples.
    """
    rows = read_rows(scores, started_from, repeats or {})
    documents = {
        "leaderboard.json": json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "leaderboard.csv": as_csv(rows),
        "leaderboard.md": as_markdown(rows, study),
    }
    for name, text in documents.items():
        with atomic(output / name) as part:
            part.write_text(text, encoding="utf-8")
    return rows


def read_rows(
    scores: Mapping[tuple[str, str], Path],
    started_from: Mapping[str, str],
    repeats: Mapping[str, Sequence[str]],
) -> list[Row]:
    """The rows described above, of these score tables.

    Raises:
        DataError: as `leaderboard`.
    """
    tables = read_tables(scores, _COLUMNS)
    first = next(iter(tables.values()))
    bootstrap = DocumentBootstrap(first["doc_id"].tolist())
    rows = [
        _row(entry, tables, bootstrap, started_from) | _seeds(entry, tables, bootstrap, repeats)
        for entry in tables
    ]
    _adjust(rows)
    return [{key: _plain(value) for key, value in row.items()} for row in rows]


def _row(
    entry: Entry, tables: Tables, bootstrap: DocumentBootstrap, started_from: Mapping[str, str]
) -> Row:
    everything, rules = tables[entry], MODES[entry.mode]
    ran = was_run(everything)
    table = everything[ran]
    baseline = tables.get(Entry(entry.model, BASELINE))
    before = None if entry.mode == BASELINE else baseline
    base = tables.get(Entry(started_from.get(entry.model, ""), entry.mode))
    oracle = tables.get(Entry(entry.model, ORACLE))
    against_baseline, against_base = _against(before, everything), _against(base, everything)
    headroom = None if oracle is None else _against(baseline, oracle)
    accuracy = share_interval(table["correct"], table["doc_id"].cat.codes) if len(table) else None
    judged = ran & everything["coverage"].notna() & rules.tool
    failed = table[table["error"] != ""]
    satisfied = (table["shown_zooms"] > 0) & table["answer"].notna()
    return {
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
        "mean_coverage": everything["coverage"][judged].mean(),
        "reward": table["reward"].mean(),
        "tool_status": _counts(everything["tool_status"]),
        "n_errors": len(failed),
        "errors": "; ".join(_in_short(failed.iloc[:MAX_NAMED_ERRORS])),
        "n_no_evidence": len(everything) - len(table),
        "documents": table["doc_id"].nunique(),
        "min_detectable": detectable_difference(len(table)),
        "headroom": headroom and headroom.difference,
        "gained": against_baseline and against_baseline.gained,
        "harmed": against_baseline and against_baseline.harmed,
        "p_holm": None,
        **_anls_gain("delta_anls", before, everything, bootstrap),
        "delta_vs_start": against_base and against_base.difference,
        "p_vs_start": against_base and against_base.p_value,
        "p_vs_start_holm": None,
        **_anls_gain("delta_anls_vs_start", base, everything, bootstrap),
        "anls_lmms": table["anls_lmms"].mean(),
        "relaxed": table["relaxed"].mean(),
        **_interval("anls", everything["anls"].where(ran), bootstrap),
        **_interval("coverage", everything["coverage"].where(judged), bootstrap),
        "mean_iou": everything["iou"][judged].mean(),
        "mean_zoom_calls": table["zoom_calls"].mean(),
        "by_layout": _by_layout(table),
        "first_view_pixels": first_view_pixels(entry.model),
    }


def _against(before: pd.DataFrame | None, after: pd.DataFrame) -> PairedTest | None:
    """The paired test on the samples that both have run; None without a `before`."""
    if before is None:
        return None
    both = was_run(before) & was_run(after)
    return paired_test(before["correct"][both].to_numpy(), after["correct"][both].to_numpy())


def _anls_gain(
    name: str, before: pd.DataFrame | None, after: pd.DataFrame, bootstrap: DocumentBootstrap
) -> Row:
    """Mean difference on the samples that both have run, with its paired interval."""
    if before is None:
        return {name: None, **_ends(name, None)}
    gain = (after["anls"] - before["anls"]).where(was_run(before) & was_run(after))
    return {name: gain.mean(), **_interval(name, gain, bootstrap)}


def _interval(name: str, values: pd.Series[float], bootstrap: DocumentBootstrap) -> Row:
    return _ends(name, bootstrap.interval(values.to_numpy()))


def _ends(name: str, interval: tuple[float, float] | None) -> Row:
    low, high = interval or (None, None)
    return {f"{name}_ci_low": low, f"{name}_ci_high": high}


def _seeds(
    entry: Entry,
    tables: Tables,
    bootstrap: DocumentBootstrap,
    repeats: Mapping[str, Sequence[str]],
) -> Row:
    """The spread between seeds, and the mean over them with an interval over documents."""
    group = next((models for models in repeats.values() if entry.model in models), ())
    members = [tables[Entry(m, entry.mode)] for m in group if Entry(m, entry.mode) in tables]
    if len(members) < 2:
        return {"seeds": None, "seeds_mean": None, "seeds_sd": None, **_ends("seeds", None)}
    correct = [table["correct"].astype(float).where(was_run(table)) for table in members]
    each = [column.mean() for column in correct]
    questions = pd.concat(correct, axis=1).mean(axis=1)
    return {
        "seeds": len(members),
        "seeds_mean": np.mean(each),
        "seeds_sd": np.std(each, ddof=1),
        **_interval("seeds", questions, bootstrap),
    }


def _adjust(rows: Sequence[Row]) -> None:
    """Fill in the p values adjusted for the family of all tests of the leaderboard."""
    tests = [
        (row, adjusted, row[raw])
        for row in rows
        for raw, adjusted in (("p_value", "p_holm"), ("p_vs_start", "p_vs_start_holm"))
        if row[raw] is not None
    ]
    for (row, adjusted, _), value in zip(tests, holm([p for *_, p in tests]), strict=True):
        row[adjusted] = value


def _counts(statuses: pd.Series[str]) -> Row:
    counts = statuses.value_counts().sort_index()
    return {str(status): int(count) for status, count in counts.items() if count}


def _in_short(failed: pd.DataFrame) -> Iterator[str]:
    for sample, error in failed["error"].items():
        yield f"{sample}: {textwrap.shorten(error, MAX_ERROR_LENGTH, placeholder=' …')}"


def _by_layout(table: pd.DataFrame) -> Row:
    """Samples and accuracy of each named layout, by name."""
    named = table[table["layout"] != ""]
    return {
        str(layout): {"n": len(group), "accuracy": group["correct"].mean()}
        for layout, group in named.groupby("layout", observed=True)
    }


def _plain(value: Any) -> Any:
    """For JSON: plain numbers with 6 significant digits, NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):  # numpy.float64 is one
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
