"""Subcommands about datasets and slices.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_config,
    add_path,
    add_run,
    add_study,
    add_table_options,
    add_text,
    plan_of,
    positive,
    table_keys,
)


def add_commands(commands: Commands) -> None:
    check = add_command(
        commands,
        "import",
        _run_import,
        "read all of a dataset, and say what is understood of it and how to ask about it",
    )
    check.add_argument(
        "--check",
        required=True,
        metavar="DATASET",
        help="a table, a folder of them, or owner/name on the hub",
    )
    add_table_options(check)
    check.add_argument(
        "--sheet",
        type=Path,
        default=Path("contact-sheet.html"),
        metavar="PATH",
        help="page to write, that shows 12 questions (default: %(default)s)",
    )

    download = add_command(
        commands, "download", _run_download, "bring a split of a dataset to disk"
    )
    add_study(download)
    add_text(download, "--split", "name of the split")
    add_path(download, "--output", "parquet file to write, with a JSON beside it")
    add_path(download, "--partial", "folder where rows wait until all are there")

    sample_slice = add_command(
        commands, "sample-slice", _run_sample_slice, "draw evaluation questions"
    )
    add_study(sample_slice)
    add_path(sample_slice, "--dataset", "parquet file that `download` wrote")
    add_path(sample_slice, "--output", "parquet file to write, with a JSON beside it")

    legibility = add_command(
        commands,
        "legibility",
        _run_legibility,
        "how many answers another reader can read in the first view, and in the evidence's crop",
    )
    add_path(legibility, "--slice", "parquet file that `sample-slice` wrote")
    legibility.add_argument(
        "--budgets",
        type=positive,
        nargs="+",
        required=True,
        metavar="PIXELS",
        help="of the first views",
    )
    legibility.add_argument(
        "--crop-pixels", type=positive, metavar="PIXELS", help="of the crops (default: 100352)"
    )
    add_path(legibility, "--output", "JSON file to write, with a figure (.svg) beside it")

    grpo_data = add_command(commands, "grpo-data", _run_grpo_data, "draw training questions")
    add_config(grpo_data)
    add_run(grpo_data)
    add_path(grpo_data, "--dataset", "parquet file that `download` wrote")
    add_path(grpo_data, "--evaluation-slice", "slice whose pages must not be trained on")
    add_path(grpo_data, "--output", "parquet file to write, with a JSON beside it")


def _run_import(command: argparse.Namespace) -> None:
    from active_perception_r1.config.dataset_argument import dataset_meant_by
    from active_perception_r1.data.contact_sheet import write_contact_sheet
    from active_perception_r1.data.inspection import SHOWN, as_study, as_text, inspect
    from active_perception_r1.errors import DataError

    dataset = dataset_meant_by(command.check, keys=table_keys(command))
    findings = []
    for found in inspect(dataset):
        findings.append(found)
        print(as_text(found))
    shown = [sample for found in findings for sample in found.shown][:SHOWN]
    if not shown:
        raise DataError(f"{dataset.name}: no row can be used")
    write_contact_sheet(shown, dataset.name, command.sheet)
    print(f"look at {command.sheet}: do the boxes sit where the answers stand?")
    print(f"\n{as_study(dataset, findings)}")


def _run_download(command: argparse.Namespace) -> None:
    from active_perception_r1.data.download import download

    dataset = plan_of(command).study.dataset
    download(dataset, command.split, command.output, command.partial)


def _run_sample_slice(command: argparse.Namespace) -> None:
    from active_perception_r1.data.slices import sample_slice
    from active_perception_r1.tasks import TASKS

    study = plan_of(command).study
    shown = TASKS[study.task].shows_options
    sample_slice(command.dataset, study.slice, command.output, shown)


def _run_legibility(command: argparse.Namespace) -> None:
    from tabulate import tabulate

    from active_perception_r1.report.legibility_curve import draw
    from active_perception_r1.scoring.legibility import CROP_PIXELS, as_table, measure

    crop_pixels = command.crop_pixels or CROP_PIXELS
    rows = measure(command.slice, command.budgets, command.output, crop_pixels)
    draw(rows, command.output.with_suffix(".svg"))
    print(tabulate(as_table(rows), headers="keys", tablefmt="github", disable_numparse=True))


def _run_grpo_data(command: argparse.Namespace) -> None:
    from active_perception_r1.config import load_config
    from active_perception_r1.data.slices import grpo_data

    config = load_config(command.config)
    run, _ = config.training_run(command.run_name)
    drawn = config.studies[run.study].slice
    grpo_data(command.dataset, command.evaluation_slice, run.drawn, run.seed, command.output, drawn)
