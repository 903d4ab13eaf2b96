"""`active-perception init`: a folder with all that a study needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from active_perception_r1.cli import main
from active_perception_r1.config import load_config
from active_perception_r1.keys import stages
from active_perception_r1.runtime import installation
from tests.workflow import REPOSITORY, job_counts

CONFIG = "workflow_config.yaml"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_it_writes_is_what_the_repository_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new")]) == 0
    written = files(tmp_path / "new")
    assert {name: (REPOSITORY / name).read_bytes() for name in written} == written
    assert {"Snakefile", "rules/common.smk", "envs/data.post-deploy.sh"} < written.keys()
    assert "active-perception run" in capsys.readouterr().out


@pytest.mark.slow
def test_snakemake_runs_it_without_the_repository(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-m", "active_perception_r1.cli", "run", "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    planned = job_counts(done.stdout)
    assert (planned["grpo_train"], planned["infer"]) == (1, 18)


def test_the_study_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path), "--study", "vstar"]) == 0
    assert load_config(tmp_path / CONFIG).study == "vstar"


def test_a_study_that_is_unknown_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new"), "--study", "vsta"]) == 1
    assert "did you mean 'vstar'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_content_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Snakefile").write_text("rule mine:\n")
    (tmp_path / "notes.txt").touch()
    assert main(["init", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'Snakefile'}: is there already, with another")
    assert files(tmp_path).keys() == {"Snakefile", "notes.txt"}


def test_what_was_written_before_may_be_there(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    (tmp_path / "Snakefile").unlink()
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "Snakefile").exists()


# Where the package and its workflow are.


def test_the_wheel_has_all_of_the_workflow() -> None:
    built = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = built["targets"]["wheel"]
    names = {*wheel["only-include"], *wheel["force-include"]} - {"src"}
    assert names == set(installation.WORKFLOW)
    places = {**wheel["sources"], **wheel["force-include"]}
    del places["src"]
    assert all(place == f"{stages.PACKAGE}/workflow/{name}" for name, place in places.items())


def test_a_workflow_beside_somebody_elses_packages_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installation.checkout() == REPOSITORY
    (tmp_path / "Snakefile").touch()
    monkeypatch.setattr(stages, "ROOT", tmp_path / "vendored" / stages.PACKAGE)
    assert installation.checkout() is None
    assert installation.workflow_folder() == stages.ROOT / "workflow"


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        (None, "active-perception-r1==7.8"),
        ({"url": "file:///w/a-7.8.whl", "archive_info": {}}, "file:///w/a-7.8.whl"),
        (
            {"url": "https://h/r", "vcs_info": {"vcs": "git", "commit_id": "c0"}},
            "git+https://h/r@c0",
        ),
    ],
)
def test_other_environments_get_the_package_from_where_this_one_has_it(
    origin: object, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installation.requirement() == f"--editable={REPOSITORY}"
    info = tmp_path / "active_perception_r1-7.8.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: active-perception-r1\nVersion: 7.8\n")
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(stages, "ROOT", tmp_path / stages.PACKAGE)
    assert installation.requirement() == asked
