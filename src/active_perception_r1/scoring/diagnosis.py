"""Where zooming helps, where it harms, and where its headroom is lost.

For every model with a baseline and every mode in which it may zoom for real, over the samples that
both have answered; those that ended in an error of the engine or of the sample's data, on either
side, are counted beside. A model *zoomed* where it saw at least one crop that it had asked for. A
zoom *hit* where one crop showed at least `HIT` of the evidence (`coverage`), else it *missed*.

- **Effects** (Ma et al. 2026, "Med", arXiv 2602.01334): the difference between mode and baseline is
  call gain + schema gain - call harm - schema harm. Gain: wrong in the baseline, right in the mode;
  harm: the reverse. Call: the model zoomed; schema: it did not, so that only being offered the tool
  can have changed its answer.
- **Zooms**: accuracy without a zoom, after a miss and after a hit; quantiles of the best coverage,
  and of the area of the smallest crop (tightness: the smaller, the tighter), over the samples with
  a zoom; calls that repeat an earlier crop.
- **Necessity**: was the looking needed (`scoring.necessity`).
- **Text size**: by the height of the evidence in pixels of the model's first view.
- **Lost headroom**: of the samples that the baseline gets wrong and the oracle right (without an
  oracle: wrong in the baseline, evidence known), how many the mode gets right, and why not the
  others: no zoom, a zoom that missed, a hit that was misread.

Every share comes with its count and the 95 % interval that the leaderboard gives accuracy.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from active_perception_r1.envs.zoom_simulator import ViewRules
from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.scoring import necessity
from active_perception_r1.scoring.diagnosis_page import as_page
from active_perception_r1.scoring.diagnosis_row import HIT, QUANTILES, Diagnosis, Share, TextSize
from active_perception_r1.scoring.intervals import share_interval
from active_perception_r1.scoring.score_tables import (
    Entry,
    Tables,
    read_tables,
    was_judged,
    was_run,
)
from active_perception_r1.storage.files import atomic

HEIGHTS = (0, 4, 6, 8, 12, 16, 24, np.inf)
"""Pixels of the first view; below about 8 printed letters cannot be told apart."""

_COLUMNS = (
    *("doc_id", "correct", "tool_status", "error", "calls", "shown", "redundant"),
    *("coverage", "smallest_area", "page_width", "page_height", "evidence_height"),
)
Mask = Any  # pandas.Series of bool


def diagnose(
    scores: Mapping[tuple[str, str], Path],
    views: Mapping[str, ViewRules],
    output: Path,
    study: str,
) -> list[Diagnosis]:
    """Write `diagnosis.json` and `.md` into the folder `output`.

    Args:
        scores: score tables by (model, mode).
        views: for each model, how pages are shrunk for its first view.

    Raises:
        DataError: a table cannot be read, or the tables are not about the same samples.
    """
    tables = read_tables(scores, _COLUMNS)
    found = [
        diagnosis(entry, tables, views[entry.model])
        for entry in tables
        if MODES[entry.mode].zooms_for_real and Entry(entry.model, BASELINE) in tables
    ]
    document = {"hit": HIT, "quantiles": QUANTILES, "rows": [asdict(row) for row in found]}
    with atomic(output / "diagnosis.json") as part:
        part.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with atomic(output / "diagnosis.md") as part:
        part.write_text(as_page(found, study), encoding="utf-8")
    return found


def diagnosis(entry: Entry, tables: Tables, view: ViewRules) -> Diagnosis:
    """What became of one model's zooms in one mode."""
    table, baseline = tables[entry], tables[Entry(entry.model, BASELINE)]
    both = was_judged(table) & was_judged(baseline)
    ran = was_run(table) & was_run(baseline)
    oracle = tables.get(Entry(entry.model, ORACLE))
    known = table["evidence_height"].notna()
    if oracle is not None:
        known = oracle["correct"] & was_judged(oracle)
    needed = necessity.necessity(entry, tables)
    assert needed is not None  # of modes that zoom for real
    everywhere = _Shares(table)
    shares = _Shares(table[both])
    table, before, known = table[both], baseline["correct"][both], known[both]
    right, zoomed = table["correct"], table["shown"] > 0
    judged = zoomed & table["coverage"].notna()
    hit = judged & (table["coverage"] >= HIT)
    miss, lost, everything = judged & ~hit, ~before & known, right | True
    return Diagnosis(
        model=entry.model,
        mode=entry.mode,
        n=len(table),
        n_errors=int((ran & ~both).sum()),
        effects={
            "call_gain": shares.of(zoomed & ~before & right, everything),
            "schema_gain": shares.of(~zoomed & ~before & right, everything),
            "call_harm": shares.of(zoomed & before & ~right, everything),
            "schema_harm": shares.of(~zoomed & before & ~right, everything),
        },
        accuracy={
            "no_zoom": shares.of(right, ~zoomed),
            "miss": shares.of(right, miss),
            "hit": shares.of(right, hit),
        },
        coverage=_quantiles(table["coverage"][judged]),
        area=_quantiles(table["smallest_area"][zoomed]),
        redundant=shares.of_calls(table["redundant"], table["calls"]),
        text_size=_by_text_size(table, before, zoomed, view, shares),
        headroom_by="evidence" if oracle is None else "oracle",
        headroom={
            "gained": shares.of(right, lost),
            "no_zoom": shares.of(~right & ~zoomed, lost),
            "missed": shares.of(~right & miss, lost),
            "misread": shares.of(~right & hit, lost),
        },
        necessity={
            name: everywhere.of(part.what, part.among) for name, part in needed.parts.items()
        },
        tool_only_beside=needed.beside,
    )


def _by_text_size(
    table: pd.DataFrame, before: Mask, zoomed: Mask, view: ViewRules, shares: _Shares
) -> list[TextSize]:
    """Bins without a sample are left out."""
    pixels = table["page_width"] * table["page_height"]
    scale = np.minimum(1.0, np.sqrt(view.max_pixels / pixels))
    height = table["evidence_height"] * table["page_height"] * scale
    sizes = []
    for low, high in itertools.pairwise(HEIGHTS):
        here = (height >= low) & (height < high)
        if here.any():
            sizes.append(
                TextSize(
                    low=low,
                    high=None if np.isinf(high) else high,
                    baseline=shares.of(before, here),
                    mode=shares.of(table["correct"], here),
                    zoomed=shares.of(zoomed, here),
                )
            )
    return sizes


def _quantiles(values: pd.Series[float]) -> list[float]:
    return [float(value) for value in values.quantile(list(QUANTILES))] if len(values) else []


class _Shares:
    """Shares of questions, with intervals that know which of them are about one document."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._documents = table["doc_id"].cat.codes.to_numpy()

    def of(self, what: Mask, among: Mask) -> Share:
        chosen = among.to_numpy(bool)
        return self._share(what.to_numpy(bool)[chosen], self._documents[chosen])

    def of_calls(self, what: pd.Series[int], among: pd.Series[int]) -> Share:
        """Of the zoom calls `among` each question, `what` of them."""
        calls, chosen = among.to_numpy(int), what.to_numpy(int)
        place = np.arange(calls.sum()) - np.repeat(np.cumsum(calls) - calls, calls)
        outcomes = place < np.repeat(chosen, calls)
        return self._share(outcomes, np.repeat(self._documents, calls))

    def _share(self, outcomes: npt.NDArray[np.bool_], documents: npt.NDArray[Any]) -> Share:
        count, of = int(outcomes.sum()), len(outcomes)
        low, high = share_interval(outcomes, documents)
        return Share(count, of, count / of if of else None, low, high)
