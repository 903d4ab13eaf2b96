"""Scoring: a predictions file and its slice become one row per sample."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError, UserError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Episode, Evidence, Sample, Step, ToolStatus
from active_perception_r1.rewards.active_vision_reward import RewardConfig, episode_reward
from active_perception_r1.scoring.score import score, score_table

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


def scored(episode: Episode, sample: Sample | None = None) -> pd.Series:
    return score_table([(sample or a_sample(), episode)], RewardConfig()).iloc[0]


def write_predictions(path: Path, *episodes: Episode) -> Path:
    path.write_text("".join(episode.to_json() + "\n" for episode in episodes), encoding="utf-8")
    return path


class TestAnswers:
    def test_a_right_answer(self) -> None:
        row = scored(an_episode(answer="12.50."))
        assert row[["em", "correct", "relaxed"]].all()
        assert row["anls"] == row["anls_lmms"] == pytest.approx(5 / 6)

    def test_a_wrong_answer_within_5_percent_is_wrong_but_relaxed(self) -> None:
        row = scored(an_episode(answer="12.60"))
        assert not row["correct"]
        assert row["relaxed"]

    @pytest.mark.parametrize("status", [ToolStatus.BACKEND_ERROR, ToolStatus.DATA_ERROR])
    def test_an_infrastructure_error_is_no_answer_and_has_no_reward(
        self, status: ToolStatus
    ) -> None:
        row = scored(an_episode(answer="12.50", status=status))
        assert row["error"] == "unknown"
        assert not row["correct"]
        assert row["anls"] == 0
        assert row[["answer", "coverage", "reward"]].isna().all()


class TestZooms:
    def test_only_crops_that_were_shown_cover_evidence(self) -> None:
        unseen = a_step(WORD, shown=False)
        row = scored(an_episode(a_step(FAR_AWAY), unseen))
        assert (row["zoom_calls"], row["shown_zooms"]) == (2, 1)
        assert row["coverage"] == row["iou"] == 0

    def test_the_best_crop_counts(self) -> None:
        row = scored(an_episode(a_step(FAR_AWAY), a_step(AROUND_WORD)))
        assert row["coverage"] == 1
        assert row["iou"] == pytest.approx(0.5)

    def test_repeats_are_not_distinct(self) -> None:
        row = scored(an_episode(a_step(WORD), a_step(WORD, redundant=True), a_step(FAR_AWAY)))
        assert (row["shown_zooms"], row["distinct_zooms"], row["redundant_zooms"]) == (3, 2, 1)

    def test_areas_are_of_the_first_and_the_smallest_crop(self) -> None:
        row = scored(an_episode(a_step(FAR_AWAY), a_step(WORD), a_step(AROUND_WORD)))
        assert row["first_area"] == pytest.approx(0.09)
        assert row["smallest_area"] == pytest.approx(0.01)

    def test_failed_calls_are_counted_by_kind(self) -> None:
        kinds = (
            ToolStatus.MALFORMED_ZOOM,
            ToolStatus.INVALID_BBOX,
            ToolStatus.TOO_SMALL,
            ToolStatus.OUT_OF_BOUNDS,
            ToolStatus.ZOOM_LIMIT_REACHED,
        )
        row = scored(an_episode(*(a_step(None, kind) for kind in kinds)))
        assert row["zoom_calls"] == 5
        assert row["malformed_zooms"] == 1
        assert row["invalid_zooms"] == 2
        assert row["out_of_bounds_zooms"] == 1
        assert row["over_limit_zooms"] == 1

    def test_without_known_evidence_there_is_no_coverage(self) -> None:
        row = scored(an_episode(a_step(WORD)), a_sample(evidence=()))
        assert row[["coverage", "iou"]].isna().all()
        assert not row["has_evidence"]

    def test_reward_and_parts_are_those_of_the_reward_function(self) -> None:
        episode = an_episode(a_step(AROUND_WORD), a_step(None, ToolStatus.MALFORMED_ZOOM))
        row, reward = scored(episode), episode_reward(episode, a_sample())
        assert row["reward"] == reward.score
        assert row["process"] == reward.process
        assert (row["relevance"], row["faults"]) == (reward.relevance, reward.faults)


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
