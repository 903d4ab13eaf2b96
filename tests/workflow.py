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
CONFIG = REPOSITORY / "workflow_config.yaml"


@dataclass(frozen=True, slots=True)
class Workflow:
    """The workflow run in `folder`, with `mine.yaml` there merged over the shipped config."""

    folder: Path

    def configure(self, config: Mapping[str, Any]) -> None:
        """JSON is YAML, too."""
        (self.folder / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Standard output and error together, as `stdout`."""
        configs = [str(CONFIG)]
        if (self.folder / "mine.yaml").exists():
            configs.append("mine.yaml")
        program = Path(sys.executable).parent
        return subprocess.run(
            [
                *[program / "snakemake", "--snakefile", REPOSITORY / "Snakefile"],
                *["--cores", "2", *arguments, "--configfile", *configs],
            ],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{program}{os.pathsep}{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def planned(self, *arguments: str) -> dict[str, int]:
        """Number of jobs of each rule that a run would execute."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return job_counts(done.stdout)


def job_counts(output: str) -> dict[str, int]:
    """The table of job counts that Snakemake prints, without the target rule and the total."""
    rows: Sequence[tuple[str, str]] = re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}
