"""Was the looking needed?

For a mode in which a model zooms for real, over the questions that all modes of a share answered
(those that ended in an error of the engine or of the sample's data are left out). A model *zoomed*
where it saw at least one crop that it had asked for.

- **Recall**: zoomed, of those that need it: the baseline is wrong and the oracle right.
- **Waste**: zoomed, of those that the baseline gets right.
- **Faithful**: right, and one crop held at least `HIT` of the evidence, of those whose evidence is
  known. A right answer without it was not read from a crop.
- **Tool-only**: of those that it gets right, what no mode of the study does in which the model sees
  no crop of its choice: the baseline and the controls, as many as the study has.
- **Gain**, **harm**: wrong in the baseline and right here, right there and wrong here, of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TypeAlias

import pandas as pd

from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.scoring.diagnosis_row import HIT
from active_perception_r1.scoring.score_tables import Entry, Tables, was_judged

COLUMNS = ("correct", "tool_status", "error", "shown", "coverage")
"""Of the score tables that it is computed from."""

Mask: TypeAlias = "pd.Series[bool]"


@dataclass(frozen=True, slots=True)
class Part:
    """What is counted, and among which questions: true and false for every sample."""

    what: Mask
    among: Mask

    @property
    def share(self) -> float | None:
        """None where there is no question."""
        return float(self.what[self.among].mean()) if self.among.any() else None


@dataclass(frozen=True, slots=True)
class Necessity:
    """The parts by name, those left out for which the study lacks a mode.

    Attributes:
        beside: the modes that `tool_only` takes away what they solve.
    """

    parts: Mapping[str, Part]
    beside: Sequence[str]

    def share(self, name: str) -> float | None:
        return self.parts[name].share if name in self.parts else None


def necessity(entry: Entry, tables: Tables) -> Necessity | None:
    """What the zooms of a model in a mode were needed for; None where it does not zoom for real."""
    if not MODES[entry.mode].zooms_for_real:
        return None
    table = tables[entry]
    judged, right, zoomed = was_judged(table), table["correct"], table["shown"] > 0
    hit = zoomed & (table["coverage"] >= HIT)
    parts = {"faithful": Part(right & hit, judged & table["coverage"].notna())}
    baseline = tables.get(Entry(entry.model, BASELINE))
    if baseline is not None:
        both, before = judged & was_judged(baseline), baseline["correct"]
        parts |= {
            "waste": Part(zoomed, both & before),
            "gain": Part(right & ~before, both),
            "harm": Part(before & ~right, both),
        }
        oracle = tables.get(Entry(entry.model, ORACLE))
        if oracle is not None:
            needed = both & ~before & was_judged(oracle) & oracle["correct"]
            parts["recall"] = Part(zoomed, needed)
    others = {
        mode: other
        for (model, mode), other in tables.items()
        if model == entry.model and mode != ORACLE and not MODES[mode].zooms_for_real
    }
    if others:
        answered = reduce(and_, map(was_judged, others.values()), judged)
        solved = reduce(or_, (other["correct"] for other in others.values()))
        parts["tool_only"] = Part(~solved, answered & right)
    return Necessity(parts, list(others))
