"""The task of a study decides everywhere: prompts, scores, rewards, training, replays."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from active_perception_r1.cli import main
from active_perception_r1.config import ModelConfig, StudyConfig, load_config, parse_config
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import ConfigError, DataError
from active_perception_r1.keys import inference_key, training_key
from active_perception_r1.modes import ACTIVE, BASELINE, MODES, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample, ToolStatus
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.gallery.evaluation import gallery_of
from active_perception_r1.report.gallery.folder import write_gallery
from active_perception_r1.rewards.active_vision_reward import (
    RewardConfig,
    compute_score,
    episode_reward,
    trl_reward,
)
from active_perception_r1.scoring.score import score_rows
from active_perception_r1.scoring.score_row import ScoreRow
from active_perception_r1.training import grpo
from active_perception_r1.training.engines import Job
from active_perception_r1.training.engines.local import LocalEngine
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.rollout import Rollouts, roll_out
from active_perception_r1.training.verl_data import PromptLimit, write_verl_data
from active_perception_r1.training.verl_launch import RunFiles, agent_loops
from tests.docvqa_files import png
from tests.gallery_pages import read_data
from tests.scripted import MODEL, ZOOM, make_sample, stop, text_of
from tests.workflow import CONFIG as SHIPPED
from tests.workflow import Workflow

CHART = make_sample(answers=("1000",))
PHOTO = replace(make_sample(answers=("B",)), options=("red", "blue"))
CROWD = make_sample(answers=("yes", "yes", *"abcdefgh"))


def play(replies: Sequence[str], sample: Sample, task: str, mode: str = BASELINE) -> Episode:
    episode = start_episode(sample, episode_rules(mode, MODEL, task), make_sample(7))
    for reply in replies:
        episode.receive(stop(reply))
    return episode.record("m", "r0", 0)


def scored(answer: str, sample: Sample, task: str) -> ScoreRow:
    episode = play([f"<answer>{answer}</answer>"], sample, task)
    (row,) = score_rows([(sample, episode)], RewardConfig(), task)
    return row


class TestPrompts:
    @pytest.mark.parametrize("mode", MODES)
    def test_options_and_how_to_answer_stand_under_the_question(self, mode: str) -> None:
        rules = episode_rules(mode, MODEL, "multiple_choice")
        (opening,) = start_episode(PHOTO, rules, make_sample(7)).request
        told = text_of(opening)
        assert "What is the total?\nA. red\nB. blue\n" in told
        assert told.endswith("as <answer>letter</answer>.")

    def test_after_a_zoom_they_stand_there_again(self) -> None:
        episode = start_episode(PHOTO, episode_rules(ACTIVE, MODEL, "multiple_choice"))
        episode.receive(stop(ZOOM))
        assert "A. red\nB. blue\n" in text_of(episode.request[-1])

    def test_a_question_without_options_cannot_be_put(self) -> None:
        with pytest.raises(DataError, match="0 options, but multiple choice needs 1 to 26"):
            start_episode(CHART, episode_rules(BASELINE, MODEL, "multiple_choice"))

    def test_a_reply_without_tags_may_state_a_letter(self) -> None:
        assert play(["(B)"], PHOTO, "multiple_choice").tool_status is ToolStatus.ANSWERED
        assert play(["(B)"], PHOTO, "short_answer").tool_status is ToolStatus.NO_ANSWER


class TestScores:
    @pytest.mark.parametrize(
        ("task", "answer", "sample", "score", "correct"),
        [
            ("short_answer", "1,000", CHART, 0.0, False),
            ("relaxed", "1,000", CHART, 1.0, True),
            ("anls", "1,000", CHART, 0.8, True),
            ("vqa", "Yes!", CROWD, 0.6, True),
            ("multiple_choice", "The answer is (B)", PHOTO, 1.0, True),
            ("multiple_choice", "A or B", PHOTO, 0.0, False),
        ],
    )
    def test_score_accuracy_and_reward_are_the_tasks(
        self, task: str, answer: str, sample: Sample, score: float, correct: bool
    ) -> None:
        row = scored(answer, sample, task)
        assert row.score == pytest.approx(score)
        assert row.correct == correct
        assert row.reward is not None
        assert row.reward.correct == correct

    @pytest.mark.parametrize("task", ["short_answer", "relaxed", "anls"])
    def test_the_other_tasks_values_stand_beside_it(self, task: str) -> None:
        metrics = scored("1,000", CHART, task).metrics
        assert (metrics["exact_match"], metrics["relaxed"]) == (0, 1)
        assert metrics["anls"] == metrics["anls_lmms"] == pytest.approx(0.8)
        assert metrics["vqa"] is None  # One answer is no crowd.
        assert metrics["choice"] is metrics["choice_lmms_vstar"] is None

    def test_of_a_choice_only_the_ways_to_read_it_are_measured(self) -> None:
        metrics = scored("Blue", replace(PHOTO, answers=("A",)), "multiple_choice").metrics
        assert metrics["choice"] == 0
        assert metrics["choice_lmms_vstar"] == 0
        assert metrics["choice_lmms_hrbench"] == 0
        assert metrics["exact_match"] is metrics["anls"] is metrics["relaxed"] is None
        metrics = scored("Bad light", PHOTO, "multiple_choice").metrics
        assert (metrics["choice"], metrics["choice_lmms_vstar"]) == (0, 1)

    def test_an_accepted_answer_that_is_no_option_is_named(self) -> None:
        with pytest.raises(DataError, match="answer 'purple' is neither a letter nor the text"):
            scored("A", replace(PHOTO, answers=("purple",)), "multiple_choice")


class TestRewards:
    @pytest.mark.parametrize(
        ("task", "said", "sample"),
        [
            ("relaxed", "1,000", CHART),
            ("vqa", "yes", CROWD),
            ("multiple_choice", "(B)", PHOTO),
            ("multiple_choice", "blue", PHOTO),
        ],
    )
    def test_every_trainer_pays_what_scoring_counts(
        self, task: str, said: str, sample: Sample
    ) -> None:
        reply = f"<answer>{said}</answer>"
        episode = play([reply], sample, task)
        assert episode_reward(episode, sample, task=task).correct
        info = {"task": task, "answers": list(sample.answers), "options": list(sample.options)}
        assert compute_score("study", reply, sample.answers[0], info)["acc"] == 1
        assert trl_reward(["?"], [reply], ground_truth=[sample.answers[0]], extra_info=[info]) == [
            compute_score("study", reply, sample.answers[0], info)["score"]
        ]
        del info["task"]
        assert compute_score("study", "<answer>1,000</answer>", "1000", info)["acc"] == 0

    def test_verl_is_told_of_task_and_options(self, tmp_path: Path) -> None:
        write_samples(tmp_path / "data.parquet", [PHOTO])
        write_verl_data(
            *(tmp_path / "data.parquet", [0], "study", MODEL),
            *(PromptLimit(1, lambda request: 1), tmp_path / "verl.parquet", "multiple_choice"),
        )
        (row,) = pq.read_table(tmp_path / "verl.parquet").to_pylist()
        assert "A. red\nB. blue" in row["prompt"][-1]["content"]
        truth, info = row["reward_model"]["ground_truth"], row["extra_info"]
        assert compute_score("study", "<answer>(B)</answer>", truth, info)["acc"] == 1
        files = RunFiles(tmp_path / "data.parquet", tmp_path, "001")
        assert "multiple_choice" in agent_loops(MODEL, files, "multiple_choice")


class TestTraining:
    RUN = LocalTraining(
        base="tiny", study="charts", steps=1, prompts_per_step=2, samples_per_prompt=2
    )

    @pytest.mark.parametrize(("task", "accuracy"), [("relaxed", 1.0), ("short_answer", 0.0)])
    def test_grpo_pays_1_000_for_1000_where_the_task_is_relaxed(
        self,
        task: str,
        accuracy: float,
        untrained_model: ModelConfig,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def answered(*given: Any) -> Rollouts:
            rollouts = roll_out(*given)
            said = (replace(episode, answer="1,000") for episode in rollouts.episodes)
            return replace(rollouts, episodes=tuple(said))

        monkeypatch.setattr(grpo, "roll_out", answered)
        samples = [make_sample(number, answers=("1000",)) for number in range(2)]
        metrics = GrpoTrainer(self.RUN, untrained_model, samples, task).step(1).metrics
        assert metrics.means["correct"] == accuracy

    def test_a_run_has_the_task_of_its_study(
        self, tmp_path: Path, untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps(self.config(untrained_model)))
        jobs: list[Job[LocalTraining]] = []
        monkeypatch.setattr(LocalEngine, "train", lambda _, job: jobs.append(job))
        assert main(["train", "--run=better", f"--config={config}"]) == 0
        assert jobs[0].task == "relaxed"

    @pytest.mark.slow
    def test_the_pipeline_tells_every_stage(
        self, tmp_path: Path, untrained_model: ModelConfig, programs: Path
    ) -> None:
        workflow = Workflow(tmp_path, programs=programs)
        workflow.configure(self.config(untrained_model))
        told = workflow.run("--dry-run", "--printshellcmds").stdout
        for stage in ("infer", "train", "score", "figure"):
            commands = re.findall(rf"Shell command: active-perception {stage} .*", told)
            assert commands
            assert all("--config " in command for command in commands)

    def config(self, model: ModelConfig) -> dict[str, Any]:
        study = {
            "dataset": {"source": "synthetic", "questions": {"train": 8, "test": 8}},
            "task": "relaxed",
            "slice": {"samples": 8},
            "models": ["tiny", "better"],
            "modes": ["baseline", "active"],
        }
        return {
            "study": "charts",
            "studies": {"charts": study},
            "models": {"tiny": {**model.model_dump(mode="json"), "gpus": 0}},
            "training": {"better": self.RUN.model_dump(mode="json")},
        }


def test_the_gallery_marks_right_what_the_task_counts(tmp_path: Path) -> None:
    write_samples(tmp_path / "slice.parquet", [CHART])
    episode = play(["<answer>1,000</answer>"], CHART, "relaxed")
    (tmp_path / "m.jsonl").write_text(episode.to_json() + "\n")
    entry = Entry("m", BASELINE, MODEL, tmp_path / "m.jsonl")
    for task, right in (("relaxed", True), ("short_answer", False)):
        slice_file = tmp_path / "slice.parquet"
        answers = Answers("study", slice_file, [entry], RewardConfig(), task)
        write_gallery(gallery_of(answers, {}), tmp_path / "gallery")
        index = read_data(tmp_path / "gallery", "index")
        assert index["episodes"]["outcome"] == ["right" if right else "wrong"]
        (question,) = read_data(tmp_path / "gallery", "questions-0")["questions"]
        assert question["episodes"][0]["exact"] == right  # The other task asks in other words.


class TestWhatDependsOnIt:
    def test_tasks_that_only_judge_otherwise_have_the_same_episodes(self) -> None:
        same, other = (inference_key(MODEL, ACTIVE, t) for t in ("anls", "multiple_choice"))
        assert inference_key(MODEL, ACTIVE, "short_answer") == same != other

    def test_a_policy_that_is_paid_otherwise_is_another(self) -> None:
        run = TestTraining.RUN
        assert training_key(run, MODEL, "anls") != training_key(run, MODEL)


class TestWhereItIsNotSaid:
    """A format that belongs to a benchmark says what its questions ask for."""

    @pytest.mark.parametrize(
        ("study", "task"),
        [
            ("demo", "short_answer"),
            ("docvqa", "short_answer"),
            ("vstar", "multiple_choice"),
            ("hr_bench_4k", "multiple_choice"),
            ("hr_bench_8k", "multiple_choice"),
            ("treebench", "multiple_choice"),
            ("textvqa_gt", "vqa"),
            ("infographicvqa", "anls"),
            ("docvqa_ocr", "anls"),
            ("chartqa", "relaxed"),
        ],
    )
    def test_it_is_that_of_the_format(self, study: str, task: str) -> None:
        assert "task" not in yaml.safe_load(SHIPPED.read_text())["studies"][study]
        assert load_config(SHIPPED).studies[study].task == task

    def test_what_is_said_comes_first(self) -> None:
        assert self.study({"format": "vstar"}, task="short_answer").task == "short_answer"

    def test_options_that_are_mapped_and_would_not_be_shown_are_refused(self) -> None:
        options = {"columns": {"options": ["A", "B"]}}
        assert self.study(options, task="multiple_choice").task == "multiple_choice"
        with pytest.raises(
            ConfigError,
            match=r"studies\.mine: dataset\.columns\.options are mapped, but task short_answer does"
            " not show them; set task: multiple_choice, or leave them out",
        ):
            self.study(options)

    def test_options_of_the_data_that_are_not_shown_are_told_of(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("page.png").write_bytes(png())
        row = {"image": "page.png", "question": "?", "answers": "B", "options": ["red", "blue"]}
        Path("t.jsonl").write_text(json.dumps(row) + "\n")
        for task in ("short_answer", "multiple_choice"):
            study = self.entry({"source": "file", "path": "t.jsonl"}, task=task)
            Path("config.yaml").write_text(json.dumps(study))
            about = ["--config=config.yaml", "--study=mine"]
            assert (
                main(["download", *about, "--split=test", "--output=t.parquet", "--partial=p"]) == 0
            )
            capsys.readouterr()
            assert main(["sample-slice", *about, "--dataset=t.parquet", "--output=s.parquet"]) == 0
            told = capsys.readouterr().err
            assert ("1 questions have options, which the study's task does not show" in told) == (
                task == "short_answer"
            )

    def study(self, dataset: dict[str, Any], **keys: Any) -> StudyConfig:
        entry = self.entry({"source": "hub", "id": "owner/name", **dataset}, **keys)
        return parse_config(entry).studies["mine"]

    def entry(self, dataset: dict[str, Any], **keys: Any) -> dict[str, Any]:
        study = {"dataset": dataset, "models": ["m"], "modes": ["baseline"], **keys}
        model = MODEL.model_dump(mode="json")
        return {"study": "mine", "studies": {"mine": study}, "models": {"m": model}}


def test_an_unknown_task_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "--task=riddle"])
    assert "'riddle' is no task; known: anls, multiple_choice, relaxed" in capsys.readouterr().err


def test_and_in_a_study_with_the_nearest_one(untrained_model: ModelConfig) -> None:
    config = TestTraining().config(untrained_model)
    config["studies"]["charts"]["task"] = "relaxd"
    with pytest.raises(ConfigError, match="studies.charts.task: .*did you mean 'relaxed'"):
        parse_config(config)
