"""Every number has one name, which is described where it is declared and in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from active_perception_r1.columns import columns
from active_perception_r1.report.reference import PAGE, page
from active_perception_r1.rewards.active_vision_reward import FIELDS, KEYS, Reward
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, as_json
from active_perception_r1.scoring.measures import measures
from active_perception_r1.scoring.metrics import METRICS
from active_perception_r1.scoring.score_row import ScoreRow, score_columns
from active_perception_r1.training.metrics import StepMetrics
from active_perception_r1.training.verl_metrics import VerlStepMetrics
from tests.leaderboard_rows import a_row

REPOSITORY = Path(__file__).parent.parent
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \|", page(), re.M))


def test_the_page_is_made_of_the_declarations() -> None:
    assert (REPOSITORY / PAGE).read_text(encoding="utf-8") == page(), "out of date: make reference"


def test_every_column_of_every_table_is_on_it() -> None:
    assert score_columns().keys() <= DOCUMENTED
    board = as_json(a_row())
    assert {re.sub("_ci_(low|high)$", "", name) for name in board} <= DOCUMENTED
    for step in (StepMetrics, VerlStepMetrics):
        own = set(step.__dataclass_fields__) - {"means"}
        assert own == columns(step).keys() <= DOCUMENTED


@pytest.mark.parametrize("record", [Reward, ScoreRow, LeaderboardRow, StepMetrics, VerlStepMetrics])
def test_every_field_is_described_where_it_is_declared(record: type) -> None:
    records = {"reward", "metrics", "means"}  # of fields that are described in their own place
    fields = set(record.__dataclass_fields__)  # type: ignore[attr-defined]
    assert fields - columns(record).keys() <= (records if record is not Reward else set())


def test_no_two_quantities_have_one_name() -> None:
    own, rewarded = set(columns(ScoreRow)), set(FIELDS) - {"correct"}
    assert own.isdisjoint(rewarded)
    assert own.isdisjoint(METRICS)
    assert rewarded.isdisjoint(METRICS)
    assert set(columns(LeaderboardRow)).isdisjoint(measures())


def test_the_reward_has_the_same_names_in_scores_and_in_training() -> None:
    assert set(FIELDS) - {"curiosity_bonus"} <= score_columns().keys()
    assert set(FIELDS).isdisjoint(columns(StepMetrics))
    assert KEYS.keys() <= set(FIELDS)
