"""The subcommand that writes a workflow into a folder, ready to run."""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import Commands, add_command


def add_commands(commands: Commands) -> None:
    init = add_command(commands, "init", _run, "write a ready workflow into a folder")
    init.add_argument("folder", type=Path, metavar="DIR", help="made if it is not there")
    init.add_argument("--study", help="the one that it makes (default: demo)")


def _run(command: argparse.Namespace) -> None:
    from active_perception_r1.runtime.init import write_workflow

    write_workflow(command.folder, command.study)
    print(f"{command.folder / 'workflow_config.yaml'}: the studies; in {command.folder},")
    print("active-perception run makes the one that it names")
