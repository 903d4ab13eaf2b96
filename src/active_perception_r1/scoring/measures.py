"""What has a mean on the leaderboard: the task's score, the reward and its parts, the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from active_perception_r1.columns import Column, columns
from active_perception_r1.scoring.metrics import METRICS
from active_perception_r1.scoring.score_row import ScoreRow, reward_columns

PRICE = Column(
    "what the model's `price` asks for `prompt_tokens` and `completion_tokens`; null without a"
    " price",
    "currency",
)
"""A mean like those of the measures, but of no column of the tables of scores."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of the tables of scores, and what its mean is good for.

    Attributes:
        needs_tool, compared: see `Metric`.
    """

    column: Column
    needs_tool: bool = False
    compared: bool = False


def measures() -> Mapping[str, Measure]:
    """All of them by column. But for the reward itself, its parts are about zooms alone."""
    return {
        "score": Measure(columns(ScoreRow)["score"], compared=True),
        **{
            name: Measure(column, needs_tool=name != "reward")
            for name, column in reward_columns().items()
        },
        **{
            name: Measure(
                Column(metric.description, metric.unit), metric.needs_tool, metric.compared
            )
            for name, metric in METRICS.items()
        },
    }
