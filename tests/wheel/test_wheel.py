"""What a package index would give: wheel and sdist, installed and used far from the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.workflow import REPOSITORY

SMALL = {
    "study": "small",
    "studies": {
        "small": {
            "dataset": {"source": "synthetic", "questions": {"train": 3, "test": 6}},
            "slice": {"split": "test", "samples": 6},
            "models": ["tiny-zoom-vlm"],
            "modes": ["baseline", "active"],
        }
    },
}
LIBRARY = """
import sys
import active_perception_r1.environments.trl_environment
import active_perception_r1.rewards.active_vision_reward
import active_perception_r1.scoring.intervals
import active_perception_r1.scoring.paired_tests
import active_perception_r1.sim.live_reinjection
import active_perception_r1.utils.trace_parser
print({"torch", "snakemake", "datasets", "pandas"} & sys.modules.keys())
"""


def call(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Standard output and error together, in an environment that knows no repository."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**kept, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    uv = Path(sys.executable).with_name("uv")
    done = call(uv, "build", "--out-dir", folder, REPOSITORY, folder=folder)
    assert done.returncode == 0, done.stdout
    return folder


def wheel_of(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, extras: str, folder: Path) -> Path:
    """The programs of a new environment with the versions that the lock names, and the wheel."""
    done = call(sys.executable, "-m", "venv", folder, folder=folder.parent)
    assert done.returncode == 0, done.stdout
    asked = f"active-perception-r1{extras} @ {wheel.as_uri()}"
    lock = folder / "versions.txt"  # without hashes, which would be asked of the wheel, too
    locks = [REPOSITORY / f"requirements{name}.lock" for name in ("", "-torch")]
    lines = [line for path in locks for line in path.read_text().splitlines()]
    lock.write_text("\n".join(line.split()[0] for line in lines if line[0].isalpha()))
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    done = call(*pip, "--constraint", lock, asked, folder=folder)
    assert done.returncode == 0, done.stdout
    return folder / "bin"


@pytest.fixture(scope="session")
def base(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel_of(built), "", tmp_path_factory.mktemp("base") / "venv")


def test_the_wheel_is_the_same_from_the_checkout_as_from_the_sdist(
    built: Path, tmp_path: Path
) -> None:
    uv = Path(sys.executable).with_name("uv")
    done = call(uv, "build", "--wheel", "--out-dir", tmp_path, REPOSITORY, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    ours, theirs = (
        {entry.filename: entry.CRC for entry in ZipFile(wheel_of(folder)).infolist()}
        for folder in (tmp_path, built)
    )
    assert ours == theirs
    assert "active_perception_r1/py.typed" in ours


def test_the_library_needs_neither_torch_nor_the_pipelines_packages(
    base: Path, tmp_path: Path
) -> None:
    done = call(base / "python", "-c", LIBRARY, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["status"], "no workflow is here; active-perception init DIR writes one"),
        (["run", "small.yaml"], "snakemake is not installed here; pip install 'active-perception"),
        (["doctor"], "psutil is not installed here; pip install 'active-perception-r1[stages]'"),
        (["train-tiny", "--output=o", "--checkpoints=c"], "run from a checkout"),
    ],
)
def test_a_command_says_in_one_line_what_it_lacks(
    arguments: list[str], line: str, base: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    done = call(base / "active-perception", *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert line in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_workflow_that_init_writes_runs_to_its_table(built: Path, tmp_path: Path) -> None:
    programs = installed(wheel_of(built), "[models,workflow]", tmp_path / "venv")
    done = call(programs / "active-perception", "init", "demo", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    workflow = tmp_path / "demo"
    (workflow / "small.yaml").write_text(json.dumps(SMALL))
    done = call(programs / "active-perception", "run", "small.yaml", folder=workflow)
    assert done.returncode == 0, done.stdout
    table = workflow / "results" / "small" / "leaderboard.json"
    done = call(programs / "active-perception", "show", table, folder=workflow)
    assert done.returncode == 0, done.stdout
    assert "tiny-zoom-vlm" in done.stdout
    again = call(programs / "snakemake", "--dry-run", "--cores", "1", folder=workflow)
    assert again.returncode == 0, again.stdout
