"""The subcommand that writes down what a report of a fault should tell."""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import Commands, add_command, add_configfiles


def add_commands(commands: Commands) -> None:
    doctor = add_command(
        commands, "doctor", _run_doctor, "versions, hardware and last errors, to paste in an issue"
    )
    add_configfiles(doctor)
    doctor.add_argument(
        "--logs", type=Path, default=Path("logs"), help="where jobs log (default: %(default)s)"
    )


def _run_doctor(command: argparse.Namespace) -> None:
    from active_perception_r1.report.provenance.doctor import examination

    print(examination(command.config, command.logs))
