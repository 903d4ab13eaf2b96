"""What an edit reruns: exactly what depends on it, in the configuration as in the code.

Edits are compared by the keys of the jobs before and after; what needs a job that runs again runs
again as well. Four more are made in a checkout with a finished study and compared with what
Snakemake then plans.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.keys import inference_key
from active_perception_r1.modes import ACTIVE
from tests.keys_after import Edit, Keys, keys_after
from tests.scripted import MODEL
from tests.small_study import small_config
from tests.workflow import Workflow, copy_of_repository

Config = dict[str, Any]
Jobs = dict[str, int]
Change = tuple[list[tuple[str, str, str]], dict[str, str]]

# They follow from the rest: what is told about results is told anew when the results change.
TOLD = (
    "draw_termination_status",
    "gallery",
    "training_gallery",
    "page",
    "manifest",
    "draw_reward",
    "draw_zoom_map",
)

BOARD: Jobs = {"leaderboard": 1, "diagnosis": 1, "draw_accuracy": 1, "draw_cost": 1}
TRAINING: Jobs = {"grpo_train": 1, "draw_learning_curve": 1}


def episodes(count: int) -> Jobs:
    """Jobs after a change in `count` of the six pairs of model and mode."""
    return {"infer": count, "score": count, **BOARD}


AFTER_SLICE: Jobs = {"grpo_data": 1, **TRAINING, **episodes(6)}


def replacing(name: str, old: str, new: str) -> Change:
    return [(name, old, new)], {}


def writing(name: str, text: str) -> Change:
    return [], {name: text}


# In the code: file, a text in it and its replacement, and what is to run.
CODE: dict[str, tuple[str, str, str, Jobs]] = {
    "scoring": (
        "scoring/metrics/relaxed.py",
        "within 5 %",
        "within 6 %",
        {"score": 6, **BOARD},
    ),
    "an answer metric": (
        "tasks/anls.py",
        "THRESHOLD = 0.5",
        "THRESHOLD = 0.6",
        {"score": 6, **BOARD},
    ),
    "intervals": ("scoring/intervals.py", "0.95", "0.9", {**BOARD, "draw_learning_curve": 1}),
    "the figure of accuracies": (
        "report/figures/accuracy.py",
        "0.92",
        "0.9",
        {"draw_accuracy": 1},
    ),
    "the learning curve": (
        "report/figures/learning_curve.py",
        "running_mean(values), color=COLOURS[0], linewidth=1.2",
        "running_mean(values), color=COLOURS[0], linewidth=1.3",
        {"draw_learning_curve": 1},
    ),
    "training": ("training/grpo.py", "1_000_003", "1_000_033", {**TRAINING, **episodes(3)}),
    "inference": ("models/runner.py", '"RGB", (1, 1)', '"RGB", (2, 2)', episodes(6)),
    "an engine": (
        "models/backends/transformers.py",
        'padding_side = "left"',
        'padding_side = "right"',
        {**TRAINING, **episodes(6)},
    ),
    "what a model is told when it must zoom": (
        "prompts/terse.py",
        "Zoom first.",
        "You must zoom.",
        episodes(2),
    ),
    "what a model is told when it may zoom": (
        "prompts/terse.py",
        "else zoom if",
        "else 'Zoom?' if",
        {**TRAINING, **episodes(4)},
    ),
    "the rules of one mode": (
        "modes/strict_zoom.py",
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
    "the syntax in which a model zooms": (
        "utils/syntaxes/zoom_roi.py",
        "is given twice",
        "is there twice",
        {**TRAINING, **episodes(5)},
    ),
    "what is right": (
        "tasks/short_answer.py",
        "casefold()",
        "lower()",
        {**TRAINING, **episodes(3), "score": 6},
    ),
    "a default of training": (
        "config/engines/_grpo.py",
        "default=0.28",
        "default=0.3",
        {**TRAINING, **episodes(3)},
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

# Edits that no job depends on: texts replaced in files of the package, and new files.
HARMLESS: dict[str, Change] = {
    "a progress text": replacing("models/infer.py", 'unit="episode"', 'unit="conversation"'),
    "how often what failed is tried": replacing("models/infer.py", "PASSES = 2", "PASSES = 3"),
    "a progress text of training": replacing("training/local.py", 'unit="step"', 'unit="update"'),
    "a time-out of the hub": replacing("storage/hub.py", "timeout=10", "timeout=60"),
    "how often is synced": replacing("storage/journal.py", "SYNC_SECONDS = 1", "SYNC_SECONDS = 9"),
    "prefetching": replacing("sim/prefetch.py", "islice(waiting, 1)", "islice(waiting, 2)"),
    "a command's help": replacing("cli/models.py", "slice to answer", "questions to answer"),
    "a new exception class": replacing(
        "errors.py", "class HubError", "class NewError(UserError):\n    pass\n\n\nclass HubError"
    ),
    "an unused syntax": writing(
        "utils/syntaxes/new.py",
        "from active_perception_r1.utils.syntaxes.zoom_roi import SYNTAX\n",
    ),
    "an unused prompt set": writing(
        "prompts/new.py", "from active_perception_r1.prompts.terse import prompts\n"
    ),
    "an unused task": writing(
        "tasks/new.py", "from active_perception_r1.tasks.short_answer import TASK\n"
    ),
    "an unused mode": writing(
        "modes/new.py", "from active_perception_r1.modes.active import MODE\n"
    ),
    "an unused family": writing(
        "families/new.py", "from active_perception_r1.families.llava import FAMILY\n"
    ),
    "an unused engine of inference": writing("models/backends/new.py", "BACKEND = print\n"),
    "an unused figure": writing(
        "report/figures/new.py",
        "from dataclasses import replace\n"
        "from active_perception_r1.report.figures.headroom import FIGURE as OTHER\n"
        "FIGURE = replace(OTHER, file='new.svg')\n",
    ),
    "an unused source": writing(
        "config/sources/new.py",
        "from typing import Literal\n"
        "from active_perception_r1.config.sources.hub import HubDataset\n\n\n"
        "class New(HubDataset):\n"
        '    source: Literal["new"]\n\n\n'
        "SOURCE = New\n",
    ),
    "an unused engine of training": writing(
        "config/engines/new.py",
        "from typing import Literal\n"
        "from active_perception_r1.config.engines.local import LocalTraining\n\n\n"
        "class New(LocalTraining):\n"
        '    engine: Literal["new"]\n\n\n'
        "ENGINE = New\n",
    ),
    "another syntax than the model's": replacing(
        "utils/syntaxes/glm.py", "missing bbox_2d", "no bbox_2d"
    ),
    "another prompt set than the model's": replacing(
        "prompts/standard.py", "A zoom was not carried out", "No zoom was carried out"
    ),
    "another way to tell which questions need a zoom": replacing(
        "data/legibility.py", "TEXT_SIMILARITY = 0.9", "TEXT_SIMILARITY = 0.8"
    ),
    "another source than the study's": replacing("data/synthetic.py", "ABCDEFGH", "ABCDEFG"),
    "a new key of models": replacing(
        "config/model.py", "    batch_size: int", "    new: int = 5\n    batch_size: int"
    ),
    "a new key of training": replacing(
        "config/engines/_grpo.py", "    steps: int", "    new: int = 5\n    steps: int"
    ),
    "a new key of local training": replacing(
        "config/engines/local.py", "    def gpus", "    new: int = 5\n\n    def gpus"
    ),
    "a new key of verl": replacing(
        "config/engines/verl.py", "    tensor_parallel:", "    new: int = 5\n    tensor_parallel:"
    ),
    "a new key of slices": replacing(
        "config/slice.py", "    samples: int", "    new: int = 5\n    samples: int"
    ),
    "a new key of studies": replacing(
        "config/file.py",
        "    max_error_share: float",
        "    new: int = 5\n    max_error_share: float",
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
        lambda config: config["models"]["tiny"]["crop"].update(max_pixels=9_000),
        {**TRAINING, **episodes(5)},
    ),
    "samples and seed of the training data changing places": (
        lambda config: config["training"]["tiny+grpo"].update(samples=12, seed=10),
        {"grpo_data": 1, **TRAINING, **episodes(3)},
    ),
    "what tells which questions need a zoom": (
        lambda config: config["studies"]["small"]["slice"].update(
            requires_zoom="legibility", legible_pixels=50_176
        ),
        {"sample_slice": 1, **AFTER_SLICE},
    ),
    "the seed of the slice": (
        lambda config: config["studies"]["small"]["slice"].update(seed=2),
        {"sample_slice": 1, **AFTER_SLICE},
    ),
}


# What each job needs.


def needs(job: str) -> list[str]:
    """The jobs whose results a job of the small study takes; a rule with a space is all of it."""
    rule, *what = job.split()
    match rule, what:
        case "sample_slice", _:
            return ["download_dataset small test"]
        case "grpo_data", _:
            return ["download_dataset small train", "sample_slice"]
        case ("grpo_train", [run]):
            return [f"grpo_data {run}"]
        case ("draw_learning_curve" | "draw_reward" | "training_gallery", _):
            return ["grpo_train "]
        case ("infer", [model, _]):
            return ["sample_slice", f"grpo_train {model}"]
        case ("score", [model, mode]):
            return [f"infer {model} {mode}"]
        case ("leaderboard" | "diagnosis", _):
            return ["score "]
        case ("gallery" | "draw_zoom_map", _):
            return ["infer "]
        case (
            "draw_accuracy" | "draw_cost" | "draw_termination_status",
            _,
        ):
            return ["leaderboard"]
        case "page", _:
            return ["leaderboard", "diagnosis"]
    return []


def rerun(before: Keys, after: Keys) -> Jobs:
    """How many jobs of each rule run again, what is only told left out."""

    def runs(job: str) -> bool:
        changed = before.get(job) != after[job]
        return changed or any(
            runs(other)
            for need in needs(job)
            for other in after
            if other == need or (need.endswith(" ") and other.startswith(need))
        )

    rules = [job.split()[0] for job in after if runs(job)]
    return {rule: rules.count(rule) for rule in dict.fromkeys(rules) if rule not in TOLD}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_repository(tmp_path_factory.mktemp("edited"))
    (folder / "untrained").mkdir()
    return folder


def config_of(engine: str = "local", verls: bool = False) -> Config:
    """With a model of a family that verl takes, if verl trains it or if that is asked for."""
    config = small_config(MODEL.model_copy(update={"prompts": "terse"}))
    if engine == "verl" or verls:
        view = {"max_pixels": 112 * 112, "multiple": 28}
        config["models"]["tiny"] |= {"family": "qwen2_5_vl", "first_view": view, "crop": view}
    config["training"]["tiny+grpo"]["engine"] = engine
    return config


Edited = dict[str, list[tuple[Keys, Keys]]]


@pytest.fixture(scope="module")
def edited(checkout: Path) -> Edited:
    """The keys before and after each edit, under one or two configurations."""
    both = [config_of("local"), config_of("verl")]
    edits = {"none": Edit([*both, config_of("local", verls=True)])}
    for name, (file, old, new, _) in CODE.items():
        edits[name] = Edit(both[:1], [(file, old, new)])
    for name, (apply, _) in ENTRIES.items():
        apply(config := config_of())
        edits[name] = Edit([config])
    for name, change in HARMLESS.items():
        edits[name] = Edit(both, *change)
    found = dict(zip(edits, keys_after(checkout, list(edits.values())), strict=True))
    return {name: list(zip(found["none"], keys, strict=False)) for name, keys in found.items()}


@pytest.mark.parametrize("edit", CODE)
def test_an_edit_of_code_reruns_what_runs_it(edit: str, edited: Edited) -> None:
    ((before, after),) = edited[edit]
    assert rerun(before, after) == CODE[edit][-1]


@pytest.mark.parametrize("edit", ENTRIES)
def test_an_edit_of_the_configuration_reruns_what_it_concerns(edit: str, edited: Edited) -> None:
    ((before, after),) = edited[edit]
    assert rerun(before, after) == ENTRIES[edit][-1]


@pytest.mark.parametrize("edit", HARMLESS)
def test_what_no_job_uses_changes_no_key_whichever_engine_trains(edit: str, edited: Edited) -> None:
    local, verl = edited[edit]
    assert local[0] == local[1]
    assert verl[0] == verl[1]


def test_the_engines_of_training_have_keys_of_their_own(edited: Edited) -> None:
    _, (verl, _), (local, _) = edited["none"]
    different = {job for job in local if local[job] != verl[job]}
    assert different == {"grpo_train tiny+grpo"}


# What Snakemake makes of it.


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
    assert ("page" in told) >= ("leaderboard" in planned)
    assert ("draw_reward" in told) >= ("grpo_train" in planned)
    assert ("gallery" in told) >= ("infer" in planned)


def test_snakemake_reruns_as_much_for_an_edit_of_code(finished: Workflow) -> None:
    name, old, new, expected = CODE["the rules of one mode"]
    path = finished.checkout / "src" / "active_perception_r1" / name
    with undone(path):
        replace(path, old, new)
        assert_planned(finished, expected)


def test_snakemake_reruns_as_much_for_an_edit_of_the_configuration(finished: Workflow) -> None:
    apply, expected = ENTRIES["samples and seed of the training data changing places"]
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
    """All at once, in a copy elsewhere, and besides: comments, docstrings, threads, speed."""
    shutil.copytree(finished.folder, tmp_path / "moved", ignore=shutil.ignore_patterns("*.pyc"))
    moved = Workflow(tmp_path / "moved", tmp_path / "moved", finished.programs)
    source = moved.checkout / "src" / "active_perception_r1"
    replace(moved.checkout / "workflow_config.yaml", "\nstudy:", "\n# A comment.\nstudy:")
    replace(source / "models" / "runner.py", "nothing =", "# A comment.\n            nothing =")
    replace(source / "sim" / "live_reinjection.py", '"""An episode in progress.', '"""An episode.')
    for replaced, written in HARMLESS.values():
        for name, old, new in replaced:
            replace(source / name, old, new)
        for name, text in written.items():
            (source / name).write_text(text, encoding="utf-8")
    replace(
        moved.checkout / "rules" / "training.smk",
        "    priority: 1\n",
        "    priority: 2\n    threads: 2\n",
    )
    config = moved.config
    config["models"]["tiny"] |= {"batch_size": 3, "max_concurrent_episodes": 5}
    config["models"]["other"] = config["models"]["tiny"]
    config["studies"]["other"] = config["studies"]["small"]
    config["training"]["tiny+grpo"] |= {"save_every": 3, "new": 6}
    moved.configure(config)
    now = time.time()  # for all, since Snakemake goes by the times of folders, as of the gallery
    for path in moved.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path, (now, now))
    assert moved.planned() == {}


def test_a_value_that_a_mode_does_not_use_is_not_part_of_what_it_depends_on(
    untrained_model: ModelConfig,
) -> None:
    other = untrained_model.model_copy(update={"zoom_syntax": "glm", "max_turns": 9})
    for mode, same in (("baseline", True), ("oracle", True), ("active", False)):
        assert (inference_key(other, mode) == inference_key(untrained_model, mode)) is same


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
        str(inference_key(ModelConfig.model_validate(row), ACTIVE)) for row in (entry, changed)
    )
    assert (before != after) == matters
