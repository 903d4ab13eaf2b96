"""Rows of a leaderboard, from the fields that a test is about."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from active_perception_r1.scoring.leaderboard_row import (
    Estimate,
    LeaderboardRow,
    as_json,
)
from active_perception_r1.scoring.measures import measures

NOTHING = Estimate(None, None, None)


def a_row(model: str = "m", mode: str = "active", **given: Any) -> LeaderboardRow:
    """Ten questions, half of them right, none of them compared with anything."""
    values: dict[str, Any] = {
        **dict.fromkeys(LeaderboardRow.__dataclass_fields__),
        "model": model,
        "mode": mode,
        "n": 10,
        "accuracy": 0.5,
        "ci_low": 0.3,
        "ci_high": 0.7,
        "tool_status": {"answered": 8, "no_answer": 2},
        "n_errors": 0,
        "errors": "",
        "n_no_evidence": 0,
        "documents": 10,
        "n_effective": 10.0,
        "by_layout": {},
        "cycle_accuracy": None,
        "by_requires_zoom": {},
        "tool_only_beside": "",
        "means": dict.fromkeys([*measures(), "price"], NOTHING),
    }
    return LeaderboardRow(**(values | given))


def a_compared_row(model: str = "m", mode: str = "active", **given: Any) -> LeaderboardRow:
    """The same with the differences that every row of a leaderboard has, if only as null."""
    row = a_row(model, mode, **given)
    differences = (f"delta_{name}" for name, measure in measures().items() if measure.compared)
    return replace(row, means=dict.fromkeys(differences, NOTHING) | dict(row.means))


def write_rows(path: Path, rows: Iterable[LeaderboardRow]) -> Path:
    path.write_text(json.dumps([as_json(row) for row in rows]), encoding="utf-8")
    return path
