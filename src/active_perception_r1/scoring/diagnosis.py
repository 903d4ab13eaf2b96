"""Where zooming helps, where it harms, and where its headroom is lost.

For every model with a baseline and every mode in which it may zoom for real, over the samples that
both have run. A model *zoomed* where it saw at least one crop that it had asked for. A zoom
*hit* where one crop showed at least `HIT` of the evidence (`coverage`), else it *missed*.

- **Effects** (Ma et al. 2026, "Med", arXiv 2602.01334): the difference between mode and baseline is
  call gain + schema gain - call harm - schema harm. Gain: wrong in the baseline, right in the mode;
  harm: the reverse. Call: the model zoomed; schema: it did not, so that only being offered the tool
  can have changed its answer.
- **Zooms**: accuracy without a zoom, after a miss and after a hit; quantiles of the best coverage,
  and of the area of the smallest crop (tightness: the smaller, the tighter), over the samples with
  a zoom; calls that repeat an earlier crop.
- **Text size**: by the height of the evidence in pixels of the model's first view.
- **Lost headroom**: of the samples that the baseline gets wrong and the oracle right (without an
  oracle: wrong in the baseline, evidence known), how many the mode gets right, and why not the
  others: no zoom, a zoom that missed, a hit that was misread, an infrastructure error.

Every share comes with its count and Wilson's 95 % interval.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from active_perception_r1.envs.zoom_simulator import ViewRules
from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.scoring.diagnosis_page import as_page
from active_perception_r1.scoring.diagnosis_row import HIT, QUANTILES, Diagnosis, Share, TextSize
from active_perception_r1.scoring.score_tables import Entry, Tables, read_tables, was_run
from active_perception_r1.scoring.statistics import wilson_interval
from active_perception_r1.storage.files import atomic

HEIGHTS = (0, 4, 6, 8, 12, 16, 24, np.inf)
"""Pixels of the first view; below about 8 printed letters cannot be told apart."""

_COLUMNS = (
    *("correct", "tool_status", "error", "calls", "shown", "redundant"),
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
    both = was_run(table) & was_run(baseline)
    right, before = table["correct"], baseline["correct"]
    zoomed = both & (table["shown"] > 0)
    judged = zoomed & table["coverage"].notna()
    hit = judged & (table["coverage"] >= HIT)
    miss = judged & ~hit
    oracle = tables.get(Entry(entry.model, ORACLE))
    known = table["evidence_height"].notna() if oracle is None else oracle["correct"]
    lost = both & ~before & known
    failed = table["error"] != ""
    return Diagnosis(
        model=entry.model,
        mode=str(entry.mode),
        n=int(both.sum()),
        effects={
            "call_gain": _share(zoomed & ~before & right, both),
            "schema_gain": _share(~zoomed & ~before & right, both),
            "call_harm": _share(zoomed & before & ~right, both),
            "schema_harm": _share(~zoomed & before & ~right, both),
        },
        accuracy={
            "no_zoom": _share(right, both & ~zoomed),
            "miss": _share(right, miss),
            "hit": _share(right, hit),
        },
        coverage=_quantiles(table["coverage"][judged]),
        area=_quantiles(table["smallest_area"][zoomed]),
        redundant=_share_of(int(table["redundant"][both].sum()), int(table["calls"][both].sum())),
        text_size=_by_text_size(table, before, both, zoomed, view),
        headroom_by="evidence" if oracle is None else "oracle",
        headroom={
            "gained": _share(right, lost),
            "no_zoom": _share(~right & ~zoomed & ~failed, lost),
            "missed": _share(~right & miss, lost),
            "misread": _share(~right & hit, lost),
            "error": _share(failed, lost),
        },
    )


def _by_text_size(
    table: pd.DataFrame, before: Mask, both: Mask, zoomed: Mask, view: ViewRules
) -> list[TextSize]:
    """Bins without a sample are left out."""
    pixels = table["page_width"] * table["page_height"]
    scale = np.minimum(1.0, np.sqrt(view.max_pixels / pixels))
    height = table["evidence_height"] * table["page_height"] * scale
    sizes = []
    for low, high in itertools.pairwise(HEIGHTS):
        here = both & (height >= low) & (height < high)
        if here.any():
            sizes.append(
                TextSize(
                    low=low,
                    high=None if np.isinf(high) else high,
                    baseline=_share(before, here),
                    mode=_share(table["correct"], here),
                    zoomed=_share(zoomed, here),
                )
            )
    return sizes


def _quantiles(values: pd.Series[float]) -> list[float]:
    return [float(value) for value in values.quantile(list(QUANTILES))] if len(values) else []


def _share(what: Mask, among: Mask) -> Share:
    return _share_of(int((what & among).sum()), int(among.sum()))


def _share_of(count: int, of: int) -> Share:
    low, high = wilson_interval(count, of)
    return Share(count, of, count / of if of else None, low, high)
