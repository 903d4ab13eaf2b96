"""Subcommands about where results come from: manifest, check, pinning and comparison.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_path,
    add_study,
    plan_of,
)
from active_perception_r1.errors import UserError


def add_commands(commands: Commands) -> None:
    manifest = add_command(
        commands, "manifest", _run_manifest, "write down what a study's results were made from"
    )
    add_study(manifest)
    manifest.add_argument(
        "--files", nargs="+", required=True, type=Path, help="all that was read or written"
    )
    add_path(manifest, "--records", "Snakemake's folder of metadata")
    add_path(manifest, "--output", "manifest.json to write, in the folder of the results")

    verify = add_command(
        commands, "verify", _run_verify, "check results, or pinned ones, against their manifest"
    )
    verify.add_argument("folder", type=Path, help="results/STUDY, or a folder of pinned results")
    verify.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        help="as given to snakemake: also name what was changed in it since",
    )

    pin = add_command(commands, "pin", _run_pin, "keep a study's small results for citation")
    add_path(pin, "--results", "folder of a study, with its manifest.json")
    add_path(pin, "--workflow", "folder of the Snakefile, which is kept too")
    add_path(pin, "--output", "folder for the pinned folder")

    compare = add_command(
        commands, "compare", _run_compare, "do two leaderboards say the same, row by row"
    )
    what = "results/STUDY, a folder of pinned results, or a leaderboard.json"
    compare.add_argument("before", type=Path, help=what)
    compare.add_argument("after", type=Path, help=what)
    compare.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        help="largest difference in accuracy; for models trained in the run also what two 95%% "
        "intervals allow (default: %(default)s)",
    )


def _run_manifest(command: argparse.Namespace) -> None:
    from active_perception_r1.report.provenance.keys import study_code
    from active_perception_r1.report.provenance.manifest import write_manifest

    plan = plan_of(command)
    write_manifest(
        plan.name,
        plan.config.of_study(plan.name),
        study_code(plan),
        command.files,
        command.records,
        command.output,
    )


def _run_verify(command: argparse.Namespace) -> None:
    from active_perception_r1.config import load_config
    from active_perception_r1.report.provenance.verify import differences

    config = load_config(*command.configfile) if command.configfile else None
    _refuse(differences(command.folder, config), f"{command.folder}: not what its manifest says")
    print(f"{command.folder}: everything is what its manifest says")


def _run_pin(command: argparse.Namespace) -> None:
    from active_perception_r1.report.provenance.pin import pin

    print(pin(command.results, command.workflow, command.output))


def _run_compare(command: argparse.Namespace) -> None:
    from active_perception_r1.report.provenance.compare import as_table, compare

    found = compare(command.before, command.after, command.tolerance)
    print(as_table(found))
    if faults := sum(bool(row.fault) for row in found):
        raise UserError(
            f"{command.after}: {faults} of {len(found)} rows are not those of {command.before}"
        )
    print(f"{command.after}: reproduces {command.before} within {command.tolerance}")


def _refuse(found: list[str], message: str) -> None:
    """Print what was found; an error if it is anything."""
    for line in found:
        print(line)
    if found:
        raise UserError(f"{message} ({len(found)} difference{'s' * (len(found) > 1)})")
