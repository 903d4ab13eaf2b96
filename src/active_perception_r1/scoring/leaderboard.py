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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from active_perception_r1.config import PriceConfig
from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.scoring import necessity
from active_perception_r1.scoring.intervals import (
    DocumentBootstrap,
    Interval,
    effective_questions,
    share_interval,
)
from active_perception_r1.scoring.latex import as_latex
from active_perception_r1.scoring.leaderboard_row import (
    Estimate,
    Layout,
    LeaderboardRow,
    Need,
    as_json,
    number_of_tests,
    rounded,
)
from active_perception_r1.scoring.measures import measures
from active_perception_r1.scoring.paired_tests import (
    PairedTest,
    detectable_difference,
    holm,
    paired_test,
)
from active_perception_r1.scoring.score_tables import (
    Entry,
    Tables,
    read_tables,
    was_judged,
    was_run,
)
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
    study = _Study(tables, DocumentBootstrap(documents), started_from, repeats, prices)
    return [rounded(row) for row in _adjusted([_row(entry, study) for entry in tables])]


@dataclass(frozen=True, slots=True)
class _Study:
    """What every row is computed from."""

    tables: Tables
    bootstrap: DocumentBootstrap
    started_from: Mapping[str, str]
    repeats: Mapping[str, Sequence[str]]
    prices: Mapping[str, PriceConfig]

    def before(self, entry: Entry) -> pd.DataFrame | None:
        """The baseline of the same model, unless this is it."""
        return None if entry.mode == BASELINE else self.tables.get(Entry(entry.model, BASELINE))

    def start(self, entry: Entry) -> pd.DataFrame | None:
        """The model that training started from, in the same mode."""
        return self.tables.get(Entry(self.started_from.get(entry.model, ""), entry.mode))

    def headroom(self, entry: Entry) -> PairedTest | None:
        baseline = self.tables.get(Entry(entry.model, BASELINE))
        oracle = self.tables.get(Entry(entry.model, ORACLE))
        return None if oracle is None else against(baseline, oracle)

    def seeds(self, entry: Entry) -> Sequence[pd.DataFrame]:
        """The models that differ from each other in their seed only, this one among them."""
        group = next((models for models in self.repeats.values() if entry.model in models), ())
        members = (Entry(model, entry.mode) for model in group)
        return [self.tables[member] for member in members if member in self.tables]


def _row(entry: Entry, study: _Study) -> LeaderboardRow:
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
    seeds = _seeds(study.seeds(entry), study.bootstrap)
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
        tokens_per_gain=_tokens_per_gain(study.before(entry), everything),
        first_view_pixels=first_view_pixels(entry.model),
        seeds=seeds.count if seeds else None,
        seeds_mean=seeds.accuracy.mean if seeds else None,
        seeds_sd=seeds.deviation if seeds else None,
        seeds_ci_low=seeds.accuracy.ci_low if seeds else None,
        seeds_ci_high=seeds.accuracy.ci_high if seeds else None,
        means=_means(entry, study),
    )


def against(before: pd.DataFrame | None, after: pd.DataFrame) -> PairedTest | None:
    """The paired test on the samples that both have answered; None without a `before`."""
    if before is None:
        return None
    both = was_judged(before) & was_judged(after)
    first, second = before[both], after[both]
    return paired_test(first["correct"], second["correct"], second["doc_id"].cat.codes)


def _means(entry: Entry, study: _Study) -> dict[str, Estimate]:
    """Of every measure, and of its differences where it is compared."""
    table, others = study.tables[entry], (study.before(entry), study.start(entry))
    ran, tool = was_run(table), MODES[entry.mode].tool
    columns: dict[str, pd.Series[float]] = {}
    for name, measure in measures().items():
        columns[name] = table[name].astype(float).where(ran & (tool or not measure.needs_tool))
        if measure.compared:
            for form, other in zip(("delta_{}", "delta_{}_vs_start"), others, strict=True):
                columns[form.format(name)] = _difference(other, table, name)
    columns["price"] = _price(table, study.prices.get(entry.model)).where(ran)
    intervals = study.bootstrap.intervals(np.column_stack(list(columns.values())))
    return {
        name: _estimate(values.mean(), interval)
        for (name, values), interval in zip(columns.items(), intervals, strict=True)
    }


def _price(table: pd.DataFrame, price: PriceConfig | None) -> pd.Series[float]:
    """Of each episode, by the tokens of all its turns."""
    if price is None:
        return pd.Series(np.nan, table.index)
    tokens = zip(table["prompt_tokens"], table["completion_tokens"], strict=True)
    return pd.Series([price.of(read, written) for read, written in tokens], table.index)


def _tokens_per_gain(before: pd.DataFrame | None, after: pd.DataFrame) -> float | None:
    """On the samples that both have answered."""
    if before is None:
        return None
    both = was_judged(before) & was_judged(after)
    spent, first = (
        (table["visual_tokens"] + table["text_tokens"])[both].astype(float).sum(skipna=False)
        for table in (after, before)
    )
    gained = after["correct"][both].sum() - before["correct"][both].sum()
    return (spent - first) / gained if gained > 0 else None


def _difference(before: pd.DataFrame | None, after: pd.DataFrame, name: str) -> pd.Series[float]:
    """On the samples that both have answered; nothing without a `before`."""
    if before is None:
        return pd.Series(np.nan, after.index)
    both = was_judged(before) & was_judged(after)
    return (after[name].astype(float) - before[name].astype(float)).where(both)


def _estimate(mean: float, interval: Interval | None) -> Estimate:
    return Estimate(mean, *(interval or (None, None)))


@dataclass(frozen=True, slots=True)
class _Seeds:
    count: int
    accuracy: Estimate
    deviation: float


def _seeds(members: Sequence[pd.DataFrame], bootstrap: DocumentBootstrap) -> _Seeds | None:
    """The spread between seeds, and the mean over them with an interval over documents."""
    if len(members) < 2:
        return None
    correct = [table["correct"].astype(float).where(was_run(table)) for table in members]
    each = [column.mean() for column in correct]
    questions = pd.concat(correct, axis=1).mean(axis=1)
    accuracy = _estimate(float(np.mean(each)), bootstrap.interval(questions.to_numpy()))
    return _Seeds(len(members), accuracy, float(np.std(each, ddof=1)))


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
