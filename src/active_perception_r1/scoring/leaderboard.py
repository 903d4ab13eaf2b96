"""The leaderboard: every model in every mode on the same samples, with how sure each number is.

Rows are in the order of the configuration; `leaderboard_row` says what their fields are.

- An error of the engine or of a sample's data stays in n and counts as not correct. But it is no
  answer of the model, so whatever is compared is compared without the questions that ended in one,
  on either side. An oracle episode without known evidence could not be run: it is not in n.
- The interval of the accuracy is Wilson's, for the effective number of questions where some share a
  document (`intervals.share_interval`); those of means are bootstrap intervals over documents,
  null for fewer than `intervals.MIN_DOCUMENTS`.
- Two modes or models are compared question by question (`paired_tests.paired_test`). The difference
  of two means has its interval from the same draws of documents on both sides.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from active_perception_r1.config import PriceConfig
from active_perception_r1.modes import MODES
from active_perception_r1.scoring import necessity
from active_perception_r1.scoring.comparisons import (
    Study,
    against,
    means_of,
    seeds_of,
    tokens_per_gain,
)
from active_perception_r1.scoring.intervals import (
    DocumentBootstrap,
    effective_questions,
    share_interval,
)
from active_perception_r1.scoring.latex import as_latex
from active_perception_r1.scoring.leaderboard_row import (
    Layout,
    LeaderboardRow,
    Need,
    as_json,
    number_of_tests,
    rounded,
)
from active_perception_r1.scoring.measures import measures
from active_perception_r1.scoring.paired_tests import detectable_difference, holm
from active_perception_r1.scoring.score_tables import Entry, read_tables, was_run
from active_perception_r1.scoring.tables import as_csv, as_markdown
from active_perception_r1.storage.files import atomic
from active_perception_r1.variants import first_view_pixels

MAX_NAMED_ERRORS, MAX_ERROR_LENGTH = 3, 160

_COLUMNS = ("doc_id", "layout", "cycle", "requires_zoom", "answer", *necessity.COLUMNS)


def leaderboard(
    scores: Mapping[tuple[str, str], Path],
    output: Path,
    study: str,
    started_from: Mapping[str, str],
    repeats: Mapping[str, Sequence[str]] | None = None,
    prices: Mapping[str, PriceConfig] | None = None,
) -> list[LeaderboardRow]:
    """Write `leaderboard.json`, `.csv`, `.md` and `.tex` into the folder `output`; return the rows.

    Args:
        scores: score tables by (model, mode), in the order of the rows.
        output: folder, made if need be.
        study: name for the title.
        started_from: for each trained model, the model that it started from.
        repeats: groups of models that differ in their seed only, by any name.
        prices: of the models that have one.

    Raises:
        DataError: a table cannot be read, or the tables are not about the same samples.
    """
    rows = read_rows(scores, started_from, repeats or {}, prices or {})
    documents = {
        "leaderboard.json": _as_document(rows),
        "leaderboard.csv": as_csv(rows),
        "leaderboard.md": as_markdown(rows, study),
        "leaderboard.tex": as_latex(rows),
    }
    for name, text in documents.items():
        with atomic(output / name) as part:
            part.write_text(text, encoding="utf-8")
    return rows


def _as_document(rows: Sequence[LeaderboardRow]) -> str:
    plain = [as_json(row) for row in rows]
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_rows(
    scores: Mapping[tuple[str, str], Path],
    started_from: Mapping[str, str],
    repeats: Mapping[str, Sequence[str]],
    prices: Mapping[str, PriceConfig],
) -> list[LeaderboardRow]:
    """The rows of these score tables.

    Raises:
        DataError: as `leaderboard`.
    """
    tables = read_tables(scores, sorted({*_COLUMNS, *measures()}))
    documents = next(iter(tables.values()))["doc_id"].tolist()
    study = Study(tables, DocumentBootstrap(documents), started_from, repeats, prices)
    return [rounded(row) for row in _adjusted([_row(entry, study) for entry in tables])]


def _row(entry: Entry, study: Study) -> LeaderboardRow:
    everything = study.tables[entry]
    table = everything[was_run(everything)]
    before = against(study.before(entry), everything)
    start = against(study.start(entry), everything)
    headroom = study.headroom(entry)
    documents = table["doc_id"].cat.codes
    accuracy = share_interval(table["correct"], documents) if len(table) else None
    zoomed = table["shown"] > 0
    satisfied = zoomed & table["answer"].notna()
    failed = table[table["error"] != ""]
    needed = necessity.necessity(entry, study.tables)
    seeds = seeds_of(study.seeds(entry), study.bootstrap)
    return LeaderboardRow(
        model=entry.model,
        mode=entry.mode,
        n=len(table),
        n_effective=effective_questions(table["correct"], documents) if len(table) else 0.0,
        accuracy=table["correct"].mean(),
        ci_low=accuracy.low if accuracy else None,
        ci_high=accuracy.high if accuracy else None,
        delta_baseline=before.difference if before else None,
        p_value=before.p_value if before else None,
        zoom_rate=zoomed.mean(),
        strict_satisfied=satisfied.mean() if MODES[entry.mode].require_zoom else None,
        tool_status=_counts(everything["tool_status"]),
        n_errors=len(failed),
        errors="; ".join(_in_short(failed.iloc[:MAX_NAMED_ERRORS])),
        n_no_evidence=len(everything) - len(table),
        documents=table["doc_id"].nunique(),
        min_detectable=None,
        headroom=headroom.difference if headroom else None,
        n_compared=before.n if before else None,
        gained=before.gained if before else None,
        harmed=before.harmed if before else None,
        p_holm=None,
        delta_vs_start=start.difference if start else None,
        n_compared_vs_start=start.n if start else None,
        p_vs_start=start.p_value if start else None,
        p_vs_start_holm=None,
        by_layout=_by_layout(table),
        cycle_accuracy=_over_cycles(table),
        by_requires_zoom=_by_requires_zoom(table),
        zoom_recall=needed.share("recall") if needed else None,
        zoom_waste=needed.share("waste") if needed else None,
        faithful_accuracy=needed.share("faithful") if needed else None,
        tool_only=needed.share("tool_only") if needed else None,
        tool_only_beside=", ".join(needed.beside) if needed else "",
        tokens_per_gain=tokens_per_gain(study.before(entry), everything),
        first_view_pixels=first_view_pixels(entry.model),
        seeds=seeds.count if seeds else None,
        seeds_mean=seeds.accuracy.mean if seeds else None,
        seeds_sd=seeds.deviation if seeds else None,
        seeds_ci_low=seeds.accuracy.ci_low if seeds else None,
        seeds_ci_high=seeds.accuracy.ci_high if seeds else None,
        means=means_of(entry, study),
    )


def _adjusted(rows: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    """With what depends on the family of all tests of the leaderboard."""
    raw = [p for row in rows for p in (row.p_value, row.p_vs_start)]
    adjusted = iter(holm([p for p in raw if p is not None]))
    in_place = iter([None if p is None else next(adjusted) for p in raw])
    tests = number_of_tests(rows)
    return [
        replace(
            row,
            p_holm=next(in_place),
            p_vs_start_holm=next(in_place),
            min_detectable=detectable_difference(int(row.n_effective), max(1, tests)),
        )
        for row in rows
    ]


def _counts(statuses: pd.Series[str]) -> dict[str, int]:
    counts = statuses.value_counts().sort_index()
    return {str(status): int(count) for status, count in counts.items() if count}


def _in_short(failed: pd.DataFrame) -> Iterator[str]:
    for sample, error in failed["error"].items():
        yield f"{sample}: {textwrap.shorten(error, MAX_ERROR_LENGTH, placeholder=' …')}"


def _by_layout(table: pd.DataFrame) -> dict[str, Layout]:
    """Samples and accuracy of each named layout, by name."""
    named = table[table["layout"] != ""]
    return {
        str(layout): Layout(len(group), group["correct"].mean())
        for layout, group in named.groupby("layout", observed=True)
    }


def _by_requires_zoom(table: pd.DataFrame) -> dict[str, Need]:
    """Kinds of questions that there are, by whether they need a zoom: `true` or `false`."""
    return {
        str(bool(needed)).lower(): Need(
            len(group), group["correct"].mean(), (group["shown"] > 0).mean()
        )
        for needed, group in table.groupby("requires_zoom")
    }


def _over_cycles(table: pd.DataFrame) -> float | None:
    """Of the accuracies in each order of the options, the mean; None where there are no orders."""
    named = table[table["cycle"] != ""]
    accuracies = named.groupby("cycle", observed=True)["correct"].mean()
    return float(accuracies.mean()) if len(accuracies) else None
