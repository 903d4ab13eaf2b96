"""The pipeline under real Snakemake: what runs, what runs again, and what a user is told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.benchmark_files import STUDIES as BENCHMARKS
from tests.drawn import texts
from tests.workflow import Workflow


@pytest.fixture
def workflow(tmp_path: Path, programs: Path) -> Workflow:
    return Workflow(tmp_path, programs=programs)


# What is planned.


@pytest.mark.slow
def test_the_demo_trains_and_evaluates_two_models_in_nine_modes(workflow: Workflow) -> None:
    assert workflow.planned("--config", "study=demo") == {
        "download_dataset": 2,
        "sample_slice": 1,
        "grpo_data": 1,
        "grpo_train": 1,
        "infer": 18,
        "score": 18,
        "leaderboard": 1,
        "diagnosis": 1,
        "draw_accuracy": 1,
        "draw_cost": 1,
        "draw_learning_curve": 1,
        "draw_reward": 1,
        "draw_termination_status": 1,
        "page": 1,
        "draw_zoom_map": 1,
        "gallery": 1,
        "training_gallery": 1,
        "manifest": 1,
    }


@pytest.mark.slow
def test_docvqa_runs_five_models_in_six_modes_and_is_planned_offline(workflow: Workflow) -> None:
    assert workflow.planned("--config", "study=docvqa") == {
        "download_dataset": 1,
        "sample_slice": 1,
        "infer": 30,
        "score": 30,
        "leaderboard": 1,
        "diagnosis": 1,
        "draw_accuracy": 1,
        "draw_cost": 1,
        "draw_termination_status": 1,
        "page": 1,
        "draw_zoom_map": 1,
        "gallery": 1,
        "manifest": 1,
    }


@pytest.mark.slow
def test_the_studies_of_benchmarks_are_planned_offline(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    modes = {
        "vstar": 6,
        "hr_bench_4k": 4,
        "hr_bench_8k": 4,
        "textvqa_gt": 6,
        "infographicvqa": 6,
        "docvqa_ocr": 6,
        "chartqa": 4,
        "treebench": 6,
    }
    assert modes.keys() == set(BENCHMARKS)
    plan = workflow.planned(*(f"results/{study}/manifest.json" for study in modes))
    entries = 2 * sum(modes.values())
    assert (plan["infer"], plan["score"]) == (entries, entries)
    for rule in ("download_dataset", "sample_slice", "leaderboard", "diagnosis", "manifest"):
        assert plan[rule] == len(modes)


@pytest.mark.slow
def test_several_first_views_multiply_inference_and_draw_the_headroom(workflow: Workflow) -> None:
    assert workflow.planned("--config", "study=headroom") == {
        "download_dataset": 1,
        "sample_slice": 1,
        "infer": 15,
        "score": 15,
        "leaderboard": 1,
        "diagnosis": 1,
        "draw_accuracy": 1,
        "draw_cost": 1,
        "draw_headroom": 1,
        "draw_termination_status": 1,
        "page": 1,
        "draw_zoom_map": 1,
        "gallery": 1,
        "manifest": 1,
    }


@pytest.mark.slow
def test_inference_and_training_ask_for_the_gpus_of_the_model(workflow: Workflow) -> None:
    on_gpus = {"tiny-zoom-vlm": {"gpus": 3}}
    workflow.configure({"models": on_gpus, "training": {"tiny-zoom-vlm+grpo": {"processes": 1}}})
    plan = workflow.run("--dry-run").stdout
    jobs = [job for job in plan.split("\nrule ") if "gpu=3" in job]
    assert {job.split(":")[0] for job in jobs} == {"infer", "grpo_train"}
    assert len(jobs) == 19


# What a user is told.


@pytest.mark.slow
def test_a_wrong_key_stops_with_one_line(workflow: Workflow) -> None:
    workflow.configure({"studies": {"demo": {"mods": ["active"]}}})
    done = workflow.run("--dry-run")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "error: configuration: studies.demo.mods: unknown key; did you mean 'modes'?"
    )
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_an_unknown_study_stops_with_one_line(workflow: Workflow) -> None:
    done = workflow.run("--dry-run", "--config", "study=dem")
    assert done.stdout.splitlines()[-1] == (
        "error: configuration: study: 'dem' is not defined; did you mean 'demo'?"
    )


@pytest.mark.slow
def test_results_that_cannot_be_written_stop_with_one_line(workflow: Workflow) -> None:
    (workflow.folder / "results").write_text("a file, not a folder")
    done = workflow.run("--dry-run")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(
        "error: results: not a folder that can be written to; "
    )


@pytest.mark.slow
def test_a_missing_dataset_file_is_named(workflow: Workflow) -> None:
    dataset = {"source": "parquet", "path": "none.parquet"}
    workflow.configure(
        {
            "study": "mine",
            "studies": {
                "mine": {"dataset": dataset, "models": ["tiny-zoom-vlm"], "modes": ["active"]}
            },
        }
    )
    done = workflow.run("--dry-run")
    assert done.returncode == 1
    assert "Missing input files for rule download_dataset" in done.stdout
    assert "none.parquet" in done.stdout


# What runs: the small study of `tests/small_study.py`.


def test_a_study_from_one_file_runs_through_to_a_leaderboard(
    finished: Workflow,
) -> None:
    results = finished.folder / "results" / "small"
    rows = json.loads((results / "leaderboard.json").read_text())
    assert [(row["model"], row["mode"], row["n"]) for row in rows] == [
        (model, mode, 12)
        for model in ("tiny", "tiny+grpo")
        for mode in ("baseline", "active", "strict_zoom")
    ]
    assert rows[4]["p_vs_start"] is not None  # It is compared with the model it was trained from.
    steps = (results / "training" / "tiny+grpo" / "metrics.jsonl").read_text().splitlines()
    assert len(steps) == 3
    assert {path.name for path in (results / "report").iterdir()} == {
        *("accuracy.svg", "accuracy.pdf", "cost.svg", "cost.pdf", "endings.svg", "endings.pdf"),
        "gallery",
        "gallery.tiny+grpo",
        "index.html",
        *("learning_curve.tiny+grpo.svg", "learning_curve.tiny+grpo.pdf"),
        *("reward.tiny+grpo.svg", "reward.tiny+grpo.pdf", "zoom_map.svg", "zoom_map.pdf"),
    }


def test_a_finished_study_has_nothing_to_do_for_either_command(finished: Workflow) -> None:
    assert finished.planned() == {}
    done = subprocess.run(
        ["active-perception", "run", str(finished.folder / "mine.yaml")],
        cwd="/",
        env=finished.environment(),
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-2:] == [
        "nothing to do: everything is there",
        os.path.relpath(finished.folder / "results/small/report/index.html", "/"),
    ]


def test_a_lost_prediction_is_made_again_alone(finished: Workflow, tmp_path: Path) -> None:
    workflow = finished.copied(tmp_path / "copy")
    results = workflow.folder / "results" / "small"
    lost = results / "predictions" / "tiny" / "baseline.jsonl"
    before = [json.loads(line)["answer"] for line in lost.read_text().splitlines()]
    lost.unlink()
    drawn = (
        *("draw_accuracy", "draw_cost", "draw_termination_status", "page"),
        "gallery",
    )
    made_again = ("infer", "score", "leaderboard", "diagnosis", *drawn, "manifest")
    assert workflow.planned() == dict.fromkeys(made_again, 1)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert [json.loads(line)["answer"] for line in lost.read_text().splitlines()] == before
    assert workflow.planned() == {}


def test_a_mode_that_goes_by_another_runs_after_it_and_again_when_that_has_run(
    finished: Workflow, tmp_path: Path
) -> None:
    workflow, config = finished.copied(tmp_path / "copy"), finished.config
    config["studies"]["small"] |= {"models": ["tiny"], "modes": ["active", "matched_view"]}
    workflow.configure(config)
    predictions = workflow.folder / "results/small/predictions/tiny"
    (predictions / "active.jsonl").unlink()
    target = "results/small/scores/tiny/matched_view.parquet"
    done = workflow.run(target)
    assert done.returncode == 0, done.stdout
    assert workflow.planned(target) == {}
    shown = predictions / "active.jsonl"
    shown.write_text(shown.read_text(encoding="utf-8").replace(",", ", ", 1), encoding="utf-8")
    assert workflow.planned(target) == {"infer": 1, "score": 1}


def test_a_model_that_is_not_there_costs_only_its_own_jobs(
    finished: Workflow, tmp_path: Path
) -> None:
    workflow, config = finished.copied(tmp_path / "copy"), finished.config
    config["models"]["lost"] = {**config["models"]["tiny"], "id": "models/lost/here"}
    config["studies"]["two"] = {
        **config["studies"]["small"],
        "models": ["lost", "tiny"],
        "modes": ["baseline"],
    }
    workflow.configure({**config, "study": "two"})
    done = workflow.run()
    assert done.returncode == 1
    assert "error: model 'models/lost/here'" in done.stdout
    assert "Traceback" not in done.stdout
    assert (workflow.folder / "results/two/scores/tiny/baseline.parquet").exists(), done.stdout


# The report.


def test_the_report_shows_the_headroom_of_a_study_with_several_first_views(
    finished: Workflow, tmp_path: Path
) -> None:
    workflow, config = finished.copied(tmp_path / "copy"), finished.config
    config["studies"]["small"] |= {
        "models": ["tiny"],
        "modes": ["baseline"],
        "first_views": [6272, 12544],
    }
    workflow.configure(config)
    figure = "results/small/report/headroom.svg"
    done = workflow.run(figure)
    assert done.returncode == 0, done.stdout
    assert {"tiny", "baseline", "6,272", "12,544"} <= texts(workflow.folder / figure)
    done = workflow.run(figure, "--report", "report.html")
    assert done.returncode == 0, done.stdout
    page = (workflow.folder / "report.html").read_text()
    assert "headroom over first-view pixels" in page
    assert "What the first view hides" in page


def test_the_report_says_first_what_was_found(finished: Workflow) -> None:
    done = finished.run("--report", str(finished.folder / "report.html"))
    assert done.returncode == 0, done.stdout
    report = (finished.folder / "report.html").read_text()
    (finished.folder / "report.html").unlink()
    assert "When it may zoom (active), tiny" in report
    assert report.index('"Findings"') < report.index('"Results"')
