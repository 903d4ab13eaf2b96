"""Score tables of one slice side by side: the same samples in the same order, whoever answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from active_perception_r1.errors import DataError
from active_perception_r1.records import ToolStatus


class Entry(NamedTuple):
    """Whose answers a table holds."""

    model: str
    mode: str


Tables = Mapping[Entry, pd.DataFrame]


def read_tables(scores: Mapping[tuple[str, str], Path], columns: Sequence[str]) -> Tables:
    """These columns of score tables by (model, mode), all in the first one's order of samples.

    Raises:
        DataError: there is no table, one cannot be read, or they are not about the same samples.
    """
    if not scores:
        raise DataError("there are no scores to compare")
    paths = {Entry(model, mode): path for (model, mode), path in scores.items()}
    first, *_ = paths
    tables: dict[Entry, pd.DataFrame] = {}
    for entry, path in paths.items():
        table = _read(path, columns)
        order = tables[first].index if tables else table.index
        odd = order.symmetric_difference(table.index)
        if len(odd):
            raise DataError(
                f"{paths[first]} and {path} are not about the same samples: only one has"
                f" {odd[0]}; run score again"
            )
        tables[entry] = table.reindex(order)
    return tables


def was_run(table: pd.DataFrame) -> pd.Series[bool]:
    """For each sample, whether it could be asked: an oracle without evidence could not."""
    return table["tool_status"] != str(ToolStatus.NO_EVIDENCE)


def was_judged(table: pd.DataFrame) -> pd.Series[bool]:
    """For each sample, whether the model was asked and nothing else went wrong.

    What ended in an error of the engine or of the sample's data says nothing of the model: it is
    not compared with anything.
    """
    return was_run(table) & (table["error"] == "")


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path, columns=["sample_id", *columns]).set_index("sample_id")
    except (OSError, ValueError, KeyError) as error:  # Arrow's errors are ValueErrors.
        raise DataError(f"{path}: not a table of scores ({error}); run score again") from None
    # Few different texts, many rows: as categories they take a byte each.
    texts = [name for name in ("doc_id", "layout", "cycle", "tool_status") if name in table]
    return table.astype(dict.fromkeys(texts, "category"))
