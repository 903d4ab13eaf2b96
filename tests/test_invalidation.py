"""What an edit reruns: exactly what depends on it, in the configuration as in the code.

Every edit is made in a checkout with a finished study, compared with what Snakemake then plans, and
undone; so each test also shows that what was undone reruns nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.model import OpenAIConfig, VllmConfig
from active_perception_r1.models import dependence
from active_perception_r1.modes import ACTIVE
from tests.scripted import MODEL
from tests.workflow import Workflow

Config = dict[str, Any]
Jobs = dict[str, int]

# They follow from the rest: what is told about results is told anew when the results change.
TOLD = (
    "draw_termination_status",
    "draw_gallery",
    "draw_leaderboard",
    "manifest",
    "draw_reward",
    "draw_zoom_map",
)

BOARD: Jobs = {"leaderboard": 1, "diagnosis": 1, "draw_accuracy": 1}
TRAINING: Jobs = {"grpo_train": 1, "draw_learning_curve": 1}


def episodes(count: int) -> Jobs:
    """Jobs after a change in `count` of the six pairs of model and mode."""
    return {"infer": count, "score": count, **BOARD}


AFTER_SLICE: Jobs = {"grpo_data": 1, **TRAINING, **episodes(6)}

# In the code: file, a text in it and its replacement, and what is to run.
CODE: dict[str, tuple[str, str, str, Jobs]] = {
    "scoring": (
        "scoring/metrics/relaxed.py",
        "float(relaxed",
        "float(not relaxed",
        {"score": 6, **BOARD},
    ),
    "an answer metric": (
        "tasks/anls.py",
        "THRESHOLD = 0.5",
        "THRESHOLD = 0.6",
        {"score": 6, **BOARD},
    ),
    "the leaderboard": ("scoring/statistics.py", "0.95", "0.9", BOARD),
    "the figure of accuracies": (
        "report/figures/accuracy.py",
        "0.92",
        "0.9",
        {"draw_accuracy": 1},
    ),
    "the learning curve": (
        "report/figures/learning_curve.py",
        "linewidth=1.8",
        "linewidth=1.9",
        {"draw_learning_curve": 1},
    ),
    "training": ("training/grpo.py", "1_000_003", "1_000_033", {**TRAINING, **episodes(3)}),
    "inference": ("models/infer.py", "PASSES = 2", "PASSES = 3", episodes(6)),
    "what a model is told when it must zoom": (
        "prompts.py",
        "Zoom first.",
        "You must zoom.",
        episodes(2),
    ),
    "what a model is told when it may zoom": (
        "prompts.py",
        "else zoom if",
        "else 'Zoom?' if",
        {**TRAINING, **episodes(4)},
    ),
    "the rules of one mode": (
        "mode_rules.py",
        "require_zoom=True",
        "require_zoom=False",
        episodes(2),
    ),
    "the parser of zoom calls": (
        "utils/trace_parser.py",
        "MAX_RAW_CHARS = 256",
        "MAX_RAW_CHARS = 99",
        {**TRAINING, **episodes(6)},
    ),
    "the reward": (
        "rewards/active_vision_reward.py",
        "max(-1.0,",
        "max(-2.0,",
        {**TRAINING, **episodes(3), "score": 6},
    ),
    "how questions are drawn": (
        "rewards/need.py",
        "SMALL_EVIDENCE = 0.05",
        "SMALL_EVIDENCE = 0.06",
        {"sample_slice": 1, **AFTER_SLICE},
    ),
    "how files are read": (
        "envs/encoded_page.py",
        "_SIDEWAYS = {5,",
        "_SIDEWAYS = {4, 5,",
        {"download_dataset": 2, "sample_slice": 1, **AFTER_SLICE},
    ),
}

# In the configuration.
ENTRIES: dict[str, tuple[Callable[[Config], object], Jobs]] = {
    "the reward of the study": (
        lambda config: config["studies"]["small"].update(reward={"correct_weight": 0.2}),
        {"score": 6, **BOARD},
    ),
    "a new mode": (
        lambda config: config["studies"]["small"]["modes"].append("oracle"),
        episodes(2),
    ),
    "a new model": (
        lambda config: (
            config["models"].update(other={**config["models"]["tiny"], "seed": 1}),
            config["studies"]["small"]["models"].append("other"),
        ),
        episodes(3),
    ),
    "one model less": (
        lambda config: config["studies"]["small"]["models"].remove("tiny+grpo"),
        BOARD,
    ),
    "the steps of the training run": (
        lambda config: config["training"]["tiny+grpo"].update(steps=4),
        {**TRAINING, **episodes(3)},
    ),
    "the precision of the model": (
        lambda config: config["models"]["tiny"].update(dtype="bfloat16"),
        {**TRAINING, **episodes(6)},
    ),
    "the size of crops": (
        lambda config: config["models"]["tiny"]["crop"].update(max_pixels=10_000),
        {**TRAINING, **episodes(5)},
    ),
    "samples and seed of the training data changing places": (
        lambda config: config["training"]["tiny+grpo"].update(samples=12, seed=10),
        {"grpo_data": 1, **TRAINING, **episodes(3)},
    ),
    "the seed of the slice": (
        lambda config: config["studies"]["small"]["slice"].update(seed=2),
        {"sample_slice": 1, **AFTER_SLICE},
    ),
}


@contextmanager
def undone(path: Path) -> Iterator[str]:
    """The text of a file, which is written back at the end."""
    text = path.read_text(encoding="utf-8")
    try:
        yield text
    finally:
        path.write_text(text, encoding="utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def assert_planned(workflow: Workflow, expected: Jobs) -> None:
    planned = workflow.planned()
    told = {rule: planned.pop(rule) for rule in TOLD if rule in planned}
    assert planned == expected
    assert "manifest" in told  # Whatever else runs.
    assert ("draw_leaderboard" in told) == ("leaderboard" in planned)
    assert ("draw_reward" in told) >= ("grpo_train" in planned)
    assert ("draw_gallery" in told) >= ("infer" in planned)


@pytest.mark.parametrize("edit", CODE)
def test_an_edit_of_code_reruns_what_runs_it(edit: str, finished: Workflow) -> None:
    name, old, new, expected = CODE[edit]
    path = finished.checkout / "src" / "active_perception_r1" / name
    with undone(path):
        replace(path, old, new)
        assert_planned(finished, expected)


@pytest.mark.parametrize("edit", ENTRIES)
def test_an_edit_of_the_configuration_reruns_what_it_concerns(
    edit: str, finished: Workflow
) -> None:
    apply, expected = ENTRIES[edit]
    with undone(finished.folder / "mine.yaml"):
        config = finished.config
        apply(config)
        finished.configure(config)
        assert_planned(finished, expected)


def test_other_weights_rerun_the_model_and_what_was_trained_from_it(finished: Workflow) -> None:
    note = finished.folder / "untrained" / "note.txt"
    note.write_text("another model")
    try:
        assert_planned(finished, {**TRAINING, **episodes(6)})
    finally:
        note.unlink()


def test_edits_that_change_no_result_rerun_nothing(finished: Workflow, tmp_path: Path) -> None:
    """All at once, in a copy elsewhere: a comment, a docstring, threads, speed, what is unused."""
    shutil.copytree(finished.folder, tmp_path / "moved", ignore=shutil.ignore_patterns("*.pyc"))
    moved = Workflow(tmp_path / "moved", tmp_path / "moved")
    source = moved.checkout / "src" / "active_perception_r1"
    replace(moved.checkout / "workflow_config.yaml", "\nstudy:", "\n# A comment.\nstudy:")
    replace(source / "models" / "infer.py", "PASSES = 2", "PASSES = 2  # Twice.")
    replace(source / "sim" / "live_reinjection.py", '"""An episode in progress.', '"""An episode.')
    replace(source / "prompts.py", "A zoom was not carried out", "No zoom was carried out")
    for unused in ("data/synthetic.py", "data/sources/hub.py", "benchmark.py"):
        path = source / unused
        path.write_text(path.read_text(encoding="utf-8") + "\nUNUSED = 1\n", encoding="utf-8")
    replace(source / "config" / "section.py", "frozen=True", "frozen=True, str_max_length=999")
    replace(
        source / "config" / "model.py",
        "    seed: int = 0",
        "    seed: int = 0\n    new: int | None = None",
    )
    replace(
        moved.checkout / "rules" / "training.smk",
        "    priority: 1\n",
        "    priority: 2\n    threads: 2\n",
    )
    config = moved.config
    config["models"]["tiny"] |= {"batch_size": 3, "max_concurrent_episodes": 5}
    config["models"]["other"] = config["models"]["tiny"]
    config["studies"]["other"] = config["studies"]["small"]
    config["training"]["tiny+grpo"]["save_every"] = 3
    moved.configure(config)
    for path in moved.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert moved.planned() == {}


def test_what_only_makes_a_model_faster_is_a_part_of_its_entry() -> None:
    assert ModelConfig.model_fields.keys() >= dependence.SPEED.keys()
    assert VllmConfig.model_fields.keys() >= dependence.SPEED["vllm"]
    assert OpenAIConfig.model_fields.keys() >= dependence.SPEED["openai"]
    assert get_args(ModelConfig.model_fields["backend"].annotation) == dependence.BACKENDS


def test_a_value_that_a_mode_does_not_use_is_not_part_of_what_it_depends_on(
    untrained_model: ModelConfig,
) -> None:
    other = untrained_model.model_copy(update={"zoom_syntax": "glm", "max_turns": 9})
    for mode, same in (("baseline", True), ("oracle", True), ("active", False)):
        before = dependence.inference_settings(untrained_model, mode)
        assert (dependence.inference_settings(other, mode) == before) is same


@pytest.mark.parametrize(
    ("backend", "section", "change", "matters"),
    [
        ("transformers", "vllm", {"max_model_len": 1024}, False),
        ("vllm", "vllm", {"max_model_len": 1024}, True),
        ("vllm", "vllm", {"enforce_eager": True}, False),
        ("openai", "openai", {"base_url": "http://elsewhere/v1"}, True),
        ("openai", "openai", {"concurrency": 3, "retries": 1}, False),
    ],
)
def test_options_of_an_engine_matter_where_it_is_used_and_they_are_not_about_speed(
    backend: str, section: str, change: dict[str, object], matters: bool
) -> None:
    entry = MODEL.model_dump(mode="json") | {"backend": backend}
    entry["openai"] = {"base_url": "http://here/v1"}
    changed = {**entry, section: {**entry[section], **change}}
    before, after = (
        dependence.inference_settings(ModelConfig.model_validate(row), ACTIVE)
        for row in (entry, changed)
    )
    assert (before != after) == matters
