"""Scoring: a predictions file and its slice become one row per sample."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError, UserError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Episode, Evidence, Sample, Step, ToolStatus
from active_perception_r1.report.reference import page
from active_perception_r1.rewards.active_vision_reward import RewardConfig, episode_reward
from active_perception_r1.scoring import metrics
from active_perception_r1.scoring.leaderboard import leaderboard
from active_perception_r1.scoring.leaderboard_row import Estimate
from active_perception_r1.scoring.metrics import METRICS
from active_perception_r1.scoring.score import score, score_rows
from active_perception_r1.scoring.score_row import ScoreRow, as_table, score_columns

NUMBERS = (pa.int64(), pa.float64())
WORD = Box(0.1, 0.1, 0.2, 0.2)
AROUND_WORD = Box(0.1, 0.1, 0.3, 0.2)
FAR_AWAY = Box(0.6, 0.6, 0.9, 0.9)


def a_sample(name: str = "s1", evidence: tuple[Evidence, ...] = (Evidence("a", WORD),)) -> Sample:
    return Sample(
        id=name,
        doc_id="page",
        image=b"",
        width=100,
        height=100,
        question="how much?",
        answers=("12.50", "12,50"),
        evidence=evidence,
        requires_zoom=True,
        layout="form",
    )


def a_step(box: Box | None, status: ToolStatus = ToolStatus.ZOOM_EXECUTED, **changes: bool) -> Step:
    step = Step(turn=0, syntax="zoom_roi", raw="", status=status, requested=box)
    if status is ToolStatus.ZOOM_EXECUTED:
        step = replace(step, executed=box, crop_size=(56, 56), shown=True)
    return replace(step, **changes)  # type: ignore[arg-type]


def an_episode(
    *steps: Step,
    name: str = "s1",
    answer: str | None = "12.50",
    status: ToolStatus = ToolStatus.ANSWERED,
) -> Episode:
    return Episode(
        sample_id=name,
        mode="active",
        model="m",
        model_revision="1",
        seed=0,
        turns=(),
        steps=steps,
        answer=answer,
        tool_status=status,
    )


def scored(episode: Episode, sample: Sample | None = None) -> ScoreRow:
    (row,) = score_rows([(sample or a_sample(), episode)], RewardConfig())
    return row


def written(row: ScoreRow) -> dict[str, Any]:
    """Its columns in a table."""
    (columns,) = as_table([row]).to_pylist()
    return dict(columns)


def write_predictions(path: Path, *episodes: Episode) -> Path:
    path.write_text("".join(episode.to_json() + "\n" for episode in episodes), encoding="utf-8")
    return path


class TestAnswers:
    def test_a_right_answer(self) -> None:
        row = scored(an_episode(answer="12.50."))
        assert row.correct
        assert row.score == row.metrics["exact_match"] == row.metrics["relaxed"] == 1
        assert row.metrics["anls"] == row.metrics["anls_lmms"] == pytest.approx(5 / 6)

    def test_a_wrong_answer_within_5_percent_is_wrong_but_relaxed(self) -> None:
        row = scored(an_episode(answer="12.60"))
        assert not row.correct
        assert row.score == row.metrics["exact_match"] == 0
        assert row.metrics["relaxed"] == 1

    @pytest.mark.parametrize("status", [ToolStatus.BACKEND_ERROR, ToolStatus.DATA_ERROR])
    def test_an_infrastructure_error_is_no_answer_and_has_no_reward(
        self, status: ToolStatus
    ) -> None:
        row = scored(an_episode(answer="12.50", status=status))
        assert row.error == "unknown"
        assert not row.correct
        assert row.metrics["anls"] == 0
        assert row.answer is row.reward is None
        columns = written(row)
        assert columns["coverage"] is columns["reward"] is columns["calls"] is None


class TestZooms:
    def test_only_crops_that_were_shown_cover_evidence(self) -> None:
        unseen = a_step(WORD, shown=False)
        row = written(scored(an_episode(a_step(FAR_AWAY), unseen)))
        assert (row["calls"], row["shown"]) == (2, 1)
        assert row["coverage"] == row["iou"] == 0

    def test_the_best_crop_counts(self) -> None:
        row = written(scored(an_episode(a_step(FAR_AWAY), a_step(AROUND_WORD))))
        assert row["coverage"] == 1
        assert row["iou"] == pytest.approx(0.5)

    def test_repeats_are_not_distinct(self) -> None:
        zooms = (a_step(WORD), a_step(WORD, redundant=True), a_step(FAR_AWAY))
        row = written(scored(an_episode(*zooms)))
        assert (row["shown"], row["distinct"], row["redundant"]) == (3, 2, 1)

    def test_areas_are_of_the_first_and_the_smallest_crop(self) -> None:
        row = scored(an_episode(a_step(FAR_AWAY), a_step(WORD), a_step(AROUND_WORD)))
        assert row.metrics["first_area"] == pytest.approx(0.09)
        assert row.metrics["smallest_area"] == pytest.approx(0.01)

    def test_failed_calls_are_counted_by_kind(self) -> None:
        kinds = (
            ToolStatus.MALFORMED_ZOOM,
            ToolStatus.INVALID_BBOX,
            ToolStatus.TOO_SMALL,
            ToolStatus.OUT_OF_BOUNDS,
            ToolStatus.ZOOM_LIMIT_REACHED,
        )
        row = written(scored(an_episode(*(a_step(None, kind) for kind in kinds))))
        assert row["calls"] == 5
        assert row["malformed"] == 1
        assert row["invalid"] == 2
        assert row["out_of_bounds"] == 1
        assert row["over_limit"] == 1

    def test_without_known_evidence_there_is_no_coverage(self) -> None:
        row = written(scored(an_episode(a_step(WORD)), a_sample(evidence=())))
        assert row["coverage"] is row["iou"] is None
        assert not row["has_evidence"]

    def test_reward_and_terms_are_those_of_the_reward_function(self) -> None:
        episode = an_episode(a_step(AROUND_WORD), a_step(None, ToolStatus.MALFORMED_ZOOM))
        row, reward = scored(episode), episode_reward(episode, a_sample())
        assert row.reward == reward
        columns = written(row)
        assert columns["reward"] == reward.reward
        assert columns["process"] == reward.process
        assert (columns["relevance"], columns["faults"]) == (reward.relevance, reward.faults)


class TestColumns:
    def test_every_column_is_described(self) -> None:
        described = score_columns()
        assert list(written(scored(an_episode()))) == list(described)
        assert all(column.description for column in described.values())

    def test_a_measure_that_is_a_number_has_a_unit(self) -> None:
        units = {name: column.unit for name, column in score_columns().items()}
        types = {field.name: field.type for field in as_table([]).schema}
        assert [name for name in types if types[name] in NUMBERS and not units[name]] == []


def test_a_metric_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a column of the scores, and a mean with its interval in the leaderboard."""
    (tmp_path / "answer_length.py").write_text(ANSWER_LENGTH, encoding="utf-8")
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(METRICS, "_names", (*METRICS, "answer_length"))
    samples = [replace(a_sample(f"s{i}"), doc_id=f"page{i}") for i in range(20)]
    pairs = [(sample, an_episode(name=sample.id, answer="x" * 3)) for sample in samples]
    scores = tmp_path / "active.parquet"
    pq.write_table(as_table(score_rows(pairs, RewardConfig())), scores)
    (row,) = leaderboard({("m", "active"): scores}, tmp_path, "s", {})
    assert row.means["answer_length"] == Estimate(3, 3, 3)
    assert "answer_length,answer_length_ci_low" in (tmp_path / "leaderboard.csv").read_text()
    assert "| `answer_length` | characters | length of the answer |" in page()


ANSWER_LENGTH = """
from active_perception_r1.scoring.metrics import Metric, of_each

METRIC = Metric("length of the answer", "characters", of_each(lambda j: len(j.answer or "")))
"""


class TestFiles:
    @pytest.fixture
    def slice_file(self, tmp_path: Path) -> Path:
        path = tmp_path / "test.parquet"
        write_samples(path, [a_sample("s1"), a_sample("s2")])
        return path

    def test_rows_are_in_slice_order_whatever_the_order_of_predictions(
        self, tmp_path: Path, slice_file: Path
    ) -> None:
        predictions = write_predictions(
            tmp_path / "active.jsonl",
            an_episode(name="s2", answer=None, status=ToolStatus.NO_ANSWER),
            an_episode(name="s1"),
        )
        output = tmp_path / "scores" / "m" / "active.parquet"
        score(predictions, slice_file, RewardConfig(), output)
        table = pd.read_parquet(output)
        assert table["sample_id"].tolist() == ["s1", "s2"]
        assert table["correct"].tolist() == [True, False]
        assert table["tool_status"].tolist() == ["answered", "no_answer"]

    def test_the_orders_of_a_question_count_together_wherever_they_stand(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("active_perception_r1.scoring.score.ROWS_IN_MEMORY", 2)
        asked = [("s1", "how much?"), ("s2", "what?"), ("s3", "which?"), ("s4", "how much?")]
        samples = [
            replace(a_sample(name), question=question, answers=("A",), options=("red", "blue"))
            for name, question in asked
        ]
        write_samples(tmp_path / "slice.parquet", samples)
        episodes = [an_episode(name=sample.id, answer="A") for sample in samples]
        predictions = write_predictions(tmp_path / "active.jsonl", *episodes)
        output = tmp_path / "scores.parquet"
        score(
            predictions,
            tmp_path / "slice.parquet",
            RewardConfig(),
            output,
            task="multiple_choice",
        )
        table = pd.read_parquet(output).set_index("sample_id")
        assert table["circular"].dropna().to_dict() == {"s1": 1.0}

    def test_column_types_do_not_depend_on_the_data(self, tmp_path: Path, slice_file: Path) -> None:
        outputs = []
        for answer in ("12.50", None):
            episodes = [an_episode(name=name, answer=answer) for name in ("s1", "s2")]
            predictions = write_predictions(tmp_path / "active.jsonl", *episodes)
            outputs.append(tmp_path / f"{answer}.parquet")
            score(predictions, slice_file, RewardConfig(), outputs[-1])
        first, second = (pd.read_parquet(output) for output in outputs)
        assert first.dtypes.equals(second.dtypes)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["s1"], r"active\.jsonl: no prediction for sample s2 of .*test\.parquet"),
            (["s1", "s2", "s3"], r"active\.jsonl: sample s3 is not in .*test\.parquet"),
            (["s1", "s2", "s2"], r"active\.jsonl: sample s2 is predicted twice"),
        ],
    )
    def test_predictions_must_be_those_of_the_slice(
        self, tmp_path: Path, slice_file: Path, names: list[str], message: str
    ) -> None:
        episodes = [an_episode(name=name) for name in names]
        predictions = write_predictions(tmp_path / "active.jsonl", *episodes)
        output = tmp_path / "scores.parquet"
        with pytest.raises(DataError, match=message):
            score(predictions, slice_file, RewardConfig(), output)
        assert not output.exists()

    @pytest.mark.parametrize("line", [b"{", b"[]", b'{"sample_id": "s1"}', b"", b"\xff"])
    def test_a_damaged_line_is_named(self, tmp_path: Path, slice_file: Path, line: bytes) -> None:
        predictions = tmp_path / "active.jsonl"
        predictions.write_bytes(line + b"\n")
        with pytest.raises(DataError, match=r"active\.jsonl"):
            score(predictions, slice_file, RewardConfig(), tmp_path / "scores.parquet")

    def test_missing_predictions_are_named(self, tmp_path: Path, slice_file: Path) -> None:
        with pytest.raises(DataError, match=r"absent\.jsonl: cannot be read"):
            score(tmp_path / "absent.jsonl", slice_file, RewardConfig(), tmp_path / "out.parquet")

    def test_an_empty_slice_is_refused(self, tmp_path: Path) -> None:
        slice_file = tmp_path / "empty.parquet"
        write_samples(slice_file, [])
        predictions = write_predictions(tmp_path / "active.jsonl")
        with pytest.raises(DataError, match=r"empty\.parquet: no samples"):
            score(predictions, slice_file, RewardConfig(), tmp_path / "out.parquet")


def test_more_errors_than_the_study_allows_are_an_error(tmp_path: Path) -> None:
    slice_file, output = tmp_path / "slice.parquet", tmp_path / "scores.parquet"
    write_samples(slice_file, [a_sample(f"s{i}") for i in range(4)])
    good = [an_episode(name=f"s{i}") for i in range(3)]
    failed = replace(
        an_episode(name="s3", answer=None, status=ToolStatus.BACKEND_ERROR), error="server\ngone"
    )
    predictions = write_predictions(tmp_path / "p.jsonl", *good, failed)
    with pytest.raises(UserError, match="1 of 4 episodes .* for example sample s3: server gone"):
        score(predictions, slice_file, RewardConfig(), output, max_error_share=0.2)
    assert not output.exists()
    score(predictions, slice_file, RewardConfig(), output, max_error_share=0.25)
    assert pd.read_parquet(output)["error"].tolist() == ["", "", "", "server gone"]
