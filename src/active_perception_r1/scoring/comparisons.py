"""What the rows of a leaderboard are computed from, and compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from active_perception_r1.config import PriceConfig
from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.scoring.intervals import DocumentBootstrap, Interval
from active_perception_r1.scoring.leaderboard_row import Estimate
from active_perception_r1.scoring.measures import measures
from active_perception_r1.scoring.paired_tests import PairedTest, paired_test
from active_perception_r1.scoring.score_tables import Entry, Tables, was_judged, was_run


@dataclass(frozen=True, slots=True)
class Study:
    """What every row is computed from.

    Attributes:
        started_from: for each trained model, the model that it started from.
        repeats: groups of models that differ in their seed only, by any name.
        prices: of the models that have one.
    """

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


def against(before: pd.DataFrame | None, after: pd.DataFrame) -> PairedTest | None:
    """The paired test on the samples that both have answered; None without a `before`."""
    if before is None:
        return None
    both = was_judged(before) & was_judged(after)
    first, second = before[both], after[both]
    return paired_test(first["correct"], second["correct"], second["doc_id"].cat.codes)


def means_of(entry: Entry, study: Study) -> dict[str, Estimate]:
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


def tokens_per_gain(before: pd.DataFrame | None, after: pd.DataFrame) -> float | None:
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
class Seeds:
    """Models that differ in their seed only: how many, and their accuracy."""

    count: int
    accuracy: Estimate
    deviation: float


def seeds_of(members: Sequence[pd.DataFrame], bootstrap: DocumentBootstrap) -> Seeds | None:
    """The spread between seeds, and the mean over them with an interval over documents."""
    if len(members) < 2:
        return None
    correct = [table["correct"].astype(float).where(was_run(table)) for table in members]
    each = [column.mean() for column in correct]
    questions = pd.concat(correct, axis=1).mean(axis=1)
    accuracy = _estimate(float(np.mean(each)), bootstrap.interval(questions.to_numpy()))
    return Seeds(len(members), accuracy, float(np.std(each, ddof=1)))
