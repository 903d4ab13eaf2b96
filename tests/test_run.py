"""`active-perception run`: from anywhere, seen on a terminal, cut off and taken up again.

The tests of this module follow one study from its first run to the last, in their order.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from active_perception_r1.config import ModelConfig
from tests.misbehaving_server import MODEL, MisbehavingServer, misbehaving_server
from tests.scripted import ZOOM
from tests.terminal import CTRL_C, terminal
from tests.workflow import INSTALLED, REPOSITORY

pytestmark = pytest.mark.slow

QUESTIONS, ASKED, STEPS = 24, 8, 16
OWN = [sys.executable, "-m", "active_perception_r1.cli"]
AGAIN = "interrupted; run again to go on"


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        server.answer = lambda body: ZOOM if len(body["messages"]) == 1 else "<answer>4</answer>"
        yield server


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory,
    server: MisbehavingServer,
    untrained_model: ModelConfig,
) -> Path:
    """The file of a study, with its questions and a model beside it."""
    folder: Path = tmp_path_factory.mktemp("mine")
    with (folder / "questions.jsonl").open("w") as table:
        for number in range(QUESTIONS):
            page = Image.new("L", (200, 150), "white")
            ImageDraw.Draw(page).text((7 * number, 70), str(number))
            page.save(folder / f"{number}.png")
            row = {"image": f"{number}.png", "question": "Which number?", "answers": str(number)}
            table.write(
                json.dumps({**row, "evidence": [7 * number, 60, 7 * number + 16, 85]}) + "\n"
            )
    tiny = untrained_model.model_dump(mode="json")
    (folder / "tiny").symlink_to(tiny["id"])
    served = {"id": MODEL, "backend": "openai", "gpus": 0, "max_zooms": 1, "max_turns": 2}
    views = {"first_view": {"max_pixels": 9999}, "crop": {"max_pixels": 9999}}
    dataset = {"source": "file", "path": "questions.jsonl", "box_unit": "pixels"}
    run = {"base": "tiny", "study": "mine", "samples": 8, "steps": STEPS, "save_every": 1}
    config = {
        "study": "mine",
        "studies": {
            "mine": {
                "dataset": dataset,
                "slice": {"samples": ASKED},
                "models": ["served", "tiny+grpo"],
                "modes": ["active"],
            }
        },
        "models": {
            "tiny": {**tiny, "id": "tiny"},
            "served": {
                **served,
                **views,
                "openai": {"base_url": server.url, "concurrency": 2},
            },
        },
        "training": {"tiny+grpo": {**run, "prompts_per_step": 2, "samples_per_prompt": 2}},
    }
    (folder / "mine.yaml").write_text(json.dumps(config))
    return folder / "mine.yaml"


def environment(*programs: Path) -> dict[str, str]:
    """As in a fresh shell, with nothing activated but these."""
    path = os.pathsep.join([*map(str, programs), "/usr/bin", "/bin"])
    kept = {name: os.environ[name] for name in ("HOME", "OMP_NUM_THREADS") if name in os.environ}
    return {**kept, "PATH": path, "PYTHONPATH": str(REPOSITORY / "src")}


def test_inference_is_watched_and_ended_by_ctrl_c_from_another_folder_with_nothing_activated(
    study: Path, server: MisbehavingServer, tmp_path: Path
) -> None:
    server.work_seconds = 0.4
    command = [*OWN, "run", str(study), "results/mine/predictions/served/active.jsonl"]
    with terminal(command, tmp_path, environment()) as screen:
        line = re.compile(rf"served active +[1-9]/{ASKED} +\d:\d\d left +[\d.]+(/s| s each)")
        screen.wait_until(lambda: any(map(line.match, screen.lines())))
        assert screen.lines()[-1].startswith("2 of 3 jobs done")
        screen.press(CTRL_C)
        assert screen.end() == 130
        assert screen.lines()[-1] == AGAIN
        assert re.search(rf"served active .*/{ASKED} .* interrupted", "\n".join(screen.lines()))
        assert b"Error" not in screen.written
        assert b"Traceback" not in screen.written
    assert not list(tmp_path.iterdir())


def test_training_is_watched_and_ended_by_ctrl_c(
    study: Path, server: MisbehavingServer, programs: Path
) -> None:
    server.work_seconds = 0.0
    command = [*OWN, "run", study.name, "--cores", "2"]
    with terminal(command, study.parent, environment(programs, INSTALLED)) as screen:
        line = re.compile(
            rf"tiny\+grpo, training +[1-9]\d*/{STEPS} .* left .* reward \S+ correct \S+ zoom \S+"
        )
        screen.wait_until(lambda: any(map(line.match, screen.lines())))
        screen.press(CTRL_C)
        assert screen.end() == 130
        assert screen.lines()[-1] == AGAIN
        assert b"Error" not in screen.written
    steps = metrics(study)
    assert 1 <= len(steps) < STEPS


def test_what_was_cut_off_goes_on_and_a_log_gets_few_plain_lines(
    study: Path, server: MisbehavingServer, programs: Path
) -> None:
    steps = metrics(study)[: saved_steps(study)]
    done = subprocess.run(
        ["active-perception", "run", str(study)],
        cwd="/",
        env=environment(programs, INSTALLED),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert metrics(study)[: len(steps)] == steps  # With the seconds that they took then.
    assert len(metrics(study)) == STEPS
    asked = [json.dumps(body["messages"]) for _, _, body in server.received]
    assert len(asked) == len(set(asked)) == 2 * ASKED
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert len(lines) < 12
    assert lines[-1] == os.path.relpath(study.parent / "results/mine/report/index.html", "/")


def saved_steps(study: Path) -> int:
    """How many training need not do again: its metrics may be one ahead of its weights."""
    states = study.parent.glob("results/.checkpoints/*/step-*.pt")
    return max((int(state.stem.removeprefix("step-")) for state in states), default=0)


def metrics(study: Path) -> list[str]:
    (found,) = study.parent.glob("results/.checkpoints/*/metrics.jsonl")
    return found.read_text().splitlines()


def test_plain_snakemake_finds_all_of_it_done(study: Path, programs: Path) -> None:
    command = ["snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--dry-run"]
    done = subprocess.run(
        [*command, "--configfile", "mine.yaml"],
        cwd=study.parent,
        env=environment(programs, INSTALLED),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "Nothing to be done" in done.stdout, done.stdout


def test_another_terminal_sees_how_far_it_is(study: Path) -> None:
    done = subprocess.run(
        [*OWN, "status", str(study)], cwd="/", env=environment(), capture_output=True, text=True
    )
    told = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert [re.sub(r"\d+:\d\d.*", "..", line) for line in told] == [
        f"data, mine test {QUESTIONS}/{QUESTIONS} ..",
        f"data, mine train {QUESTIONS}/{QUESTIONS} ..",
        f"tiny+grpo, training {STEPS}/{STEPS} ..",
        f"served active {ASKED}/{ASKED} ..",
        f"tiny+grpo active {ASKED}/{ASKED} ..",
        "leaderboard done",
    ]
