"""The row of a table of scores: how one episode did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, get_type_hints

import pyarrow as pa

from active_perception_r1.columns import Column, columns
from active_perception_r1.rewards.active_vision_reward import FIELDS, Reward
from active_perception_r1.scoring.metrics import METRICS


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One episode beside its sample. Areas and heights are in page coordinates.

    In a table, `reward` and `metrics` are a column for each of their entries (`score_columns`). An
    episode with an error that is not the model's keeps its row: it counts as not correct, whatever
    text it left behind, and has no reward.
    """

    sample_id: Annotated[str, Column("name of the question")]
    doc_id: Annotated[str, Column("document that the question is about")]
    layout: Annotated[str, Column("kind of page; empty if unknown")]
    cycle: Annotated[
        str, Column("order of the options, where a question is asked in several; else empty")
    ]
    requires_zoom: Annotated[bool, Column("the answer cannot be read from the first view")]
    has_evidence: Annotated[bool, Column("it is known where on the page the answer is")]
    page_width: Annotated[int, Column("width of the page", "pixels")]
    page_height: Annotated[int, Column("height of the page", "pixels")]
    evidence_height: Annotated[
        float | None,
        Column(
            "height of the part of the evidence that is hardest to read; null if none is known",
            "share of the page",
        ),
    ]
    answer: Annotated[str | None, Column("the answer that counts; null if there is none")]
    tool_status: Annotated[str, Column("how the episode ended (`records.ToolStatus`)")]
    error: Annotated[str, Column("of the engine or of the sample's data, in words; else empty")]
    score: Annotated[float, Column("how good the answer is, as the task counts it", "share")]
    correct: Annotated[bool, Column("the answer is right, as the task says; accuracy counts these")]
    reward: Reward | None
    metrics: Mapping[str, float | None]


# Where no evidence is known, nothing can be said of these.
_OF_EVIDENCE = {"coverage", "iou"}
# The task's judgement is in `correct` even where there is no reward; only training pays a bonus.
_REWARD = [name for name in FIELDS if name not in ("correct", "curiosity_bonus")]

_TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def reward_columns() -> Mapping[str, Column]:
    """What the fields of `Reward` are in a table, null after an error."""
    described = columns(Reward)
    return {name: described[name] for name in _REWARD}


def score_columns() -> Mapping[str, Column]:
    """Every column of a table of scores, in order."""
    metrics = {name: Column(metric.description, metric.unit) for name, metric in METRICS.items()}
    return {**columns(ScoreRow), **reward_columns(), **metrics}


def as_table(rows: Sequence[ScoreRow]) -> pa.Table:
    """The rows with a column for each of `score_columns`; types do not depend on the data."""
    return pa.table(dict(_columns(rows)))


def _columns(rows: Sequence[ScoreRow]) -> Iterator[tuple[str, pa.Array]]:
    hints = get_type_hints(ScoreRow)
    for name in columns(ScoreRow):
        yield name, pa.array(map(attrgetter(name), rows), _type_of(hints[name]))
    hints = get_type_hints(Reward)
    for name in _REWARD:
        of_evidence = name in _OF_EVIDENCE
        values = (
            None
            if row.reward is None or (of_evidence and not row.has_evidence)
            else getattr(row.reward, name)
            for row in rows
        )
        yield name, pa.array(values, _type_of(hints[name]))
    for name in METRICS:
        yield name, pa.array((row.metrics[name] for row in rows), pa.float64())


def _type_of(hint: Any) -> pa.DataType:
    """Of `X` and of `X | None`."""
    (kind,) = (kind for kind in getattr(hint, "__args__", (hint,)) if kind is not type(None))
    return _TYPES[kind]
