"""Runs the real Snakemake workflow in a folder of its own, for tests."""

from __future__ import annotations

import json
import os
import re
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
    """The workflow run in `folder`, with `mine.yaml` there merged over the shipped config.

    Programs in the folder `programs` come before the installed ones.
    """

    folder: Path
    programs: Path | None = None

    def configure(self, config: Mapping[str, Any]) -> None:
        """JSON is YAML, too."""
        (self.folder / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Standard output and error together, as `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def command(self, *arguments: str) -> list[str]:
        configs = [str(CONFIG)]
        if (self.folder / "mine.yaml").exists():
            configs.append("mine.yaml")
        return [
            *[str(INSTALLED / "snakemake"), "--snakefile", str(REPOSITORY / "Snakefile")],
            *["--cores", "2", *arguments, "--configfile", *configs],
        ]

    def environment(self) -> dict[str, str]:
        folders = [*([self.programs] if self.programs else []), INSTALLED, os.environ["PATH"]]
        return {**os.environ, "PATH": os.pathsep.join(map(str, folders))}

    def planned(self, *arguments: str) -> dict[str, int]:
        """Number of jobs of each rule that a run would execute."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return job_counts(done.stdout)


def job_counts(output: str) -> dict[str, int]:
    """The table of job counts that Snakemake prints, without the target rule and the total."""
    rows: Sequence[tuple[str, str]] = re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}
