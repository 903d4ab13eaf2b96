"""Runs the real Snakemake workflow in a folder of its own, for tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
INSTALLED = Path(sys.executable).parent
CONFIG = REPOSITORY / "workflow_config.yaml"


@dataclass(frozen=True, slots=True)
class Workflow:
    """The workflow of `checkout` run in `folder`, with `mine.yaml` there merged over its config.

    Programs in the folder `programs` come before the installed ones, also for Snakemake itself,
    where it is only awaited. What runs in its jobs is
    written down in the folder `record`: see `tests/recording`.
    """

    folder: Path
    checkout: Path = REPOSITORY
    programs: Path | None = None
    record: Path | None = None

    def copied(self, folder: Path) -> Workflow:
        """All of it in another folder, which is its checkout then."""
        shutil.copytree(self.folder, folder)
        return Workflow(folder, folder, self.programs)

    def configure(self, config: Mapping[str, Any]) -> None:
        """JSON is YAML, too."""
        (self.folder / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")

    @property
    def config(self) -> dict[str, Any]:
        """What was configured."""
        config: dict[str, Any] = json.loads((self.folder / "mine.yaml").read_text(encoding="utf-8"))
        return config

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Standard output and error together, as `stdout`."""
        snakemake = shutil.which("snakemake", path=self.environment()["PATH"])
        return subprocess.run(
            [str(snakemake), *self.command(*arguments)[1:]],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Snakemake itself, in a session of its own: it can be killed with all of its jobs."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def command(self, *arguments: str) -> list[str]:
        configs = [str(self.checkout / CONFIG.name)]
        if (self.folder / "mine.yaml").exists():
            configs.append("mine.yaml")
        return [
            *[str(INSTALLED / "snakemake"), "--snakefile", str(self.checkout / "Snakefile")],
            *["--cores", "2", *arguments, "--configfile", *configs],
        ]

    def environment(self) -> dict[str, str]:
        folders = [*([self.programs] if self.programs else []), INSTALLED, os.environ["PATH"]]
        source = self.checkout / "src"
        return {
            **os.environ,
            "PATH": os.pathsep.join(map(str, folders)),
            "PYTHONPATH": str(source),
            **(recording(self.record, source) if self.record else {}),
        }

    def planned(self, *arguments: str) -> dict[str, int]:
        """Number of jobs of each rule that a run would execute."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return job_counts(done.stdout)


def recording(folder: Path, source: Path) -> dict[str, str]:
    """The environment in which commands write down what runs, with the package from `source`."""
    shim = REPOSITORY / "tests" / "recording"
    return {"PYTHONPATH": os.pathsep.join(map(str, (source, shim))), "RECORD": str(folder)}


def copy_of_repository(folder: Path) -> Path:
    """A checkout of its own, to edit: what the pipeline consists of, without models and tests."""
    for name in ("Snakefile", CONFIG.name):
        shutil.copy2(REPOSITORY / name, folder / name)
    for name in ("src", "rules", "report", "envs", "profiles"):
        # With bytecode, or the first jobs would all compile the package; what is just being written
        # has a longer suffix, and may be gone.
        ignore = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    return folder


def job_counts(output: str) -> dict[str, int]:
    """The table of job counts that Snakemake prints, without the target rule and the total."""
    rows: Sequence[tuple[str, str]] = re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}
