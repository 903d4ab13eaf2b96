"""Tables of scores as `score` writes them, from the columns that a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from active_perception_r1.scoring.score_row import score_columns

TEXTS = {"layout": "", "cycle": "", "answer": "x", "tool_status": "answered", "error": ""}


def score_table(correct: Sequence[bool], **given: Any) -> pd.DataFrame:
    """One sample for each value of `correct`, each about a document of its own.

    Whatever is not given is 1 for right answers and 0 for wrong ones, if the text has no default.
    """
    n = len(correct)
    values: dict[str, Any] = {name: [float(right) for right in correct] for name in score_columns()}
    values |= {name: [text] * n for name, text in TEXTS.items()}
    values |= {
        "sample_id": [f"s{i}" for i in range(n)],
        "doc_id": [f"page{i}" for i in range(n)],
        "correct": list(correct),
    }
    table = pd.DataFrame(values | given)
    floats = [name for name in ("coverage", "smallest_area", "reward") if name in given]
    return table.astype({"answer": "str", **dict.fromkeys(floats, "float64")})
