"""The subcommand that hands results to other people's viewers."""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import Commands, add_command
from active_perception_r1.registry import names_in


def add_commands(commands: Commands) -> None:
    export = add_command(
        commands, "export", _run_export, "write a finished study for other people's viewers"
    )
    export.add_argument("study", help="name of a study in results/, or a folder of results")
    formats = [name.replace("_", "-") for name in names_in("active_perception_r1.report.exports")]
    export.add_argument("--to", required=True, choices=formats, help="whose format")
    export.add_argument(
        "--output", type=Path, help="folder to write into (default: exports/STUDY/FORMAT)"
    )


def _run_export(command: argparse.Namespace) -> None:
    from active_perception_r1.report.exports import EXPORTS
    from active_perception_r1.report.finished import read_study

    folder = Path(command.study)
    study = read_study(folder if folder.is_dir() else Path("results") / command.study)
    output = command.output or Path("exports") / study.plan.name / command.to
    output.mkdir(parents=True, exist_ok=True)
    for path in EXPORTS[command.to.replace("-", "_")].write(study, output):
        print(path)
