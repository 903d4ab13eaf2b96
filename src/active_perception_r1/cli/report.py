"""The subcommands that make the figures and pages of the report.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_config,
    add_entry_files,
    add_path,
    add_run,
    add_study,
    entry_file,
    plan_of,
)
from active_perception_r1.errors import UserError

if TYPE_CHECKING:
    from active_perception_r1.report.answers import Answers


def add_commands(commands: Commands) -> None:
    figure = add_command(commands, "figure", _run_figure, "draw a figure of the report")
    figure.add_argument("name", help="which: the name of its module in report/figures")
    source = figure.add_argument_group("what it is drawn from (the figure says which of these)")
    source.add_argument("--leaderboard", type=Path, help="a leaderboard.json")
    source.add_argument("--metrics", type=Path, help="metrics.jsonl of a training run")
    source.add_argument("--slice", type=Path, help="the slice that was answered")
    source.add_argument(
        "--predictions",
        nargs="+",
        type=entry_file,
        metavar="MODEL/MODE.jsonl",
        help="what `infer` wrote, in the order to be shown",
    )
    add_config(source)
    source.add_argument("--study", help="name of the study in the configuration")
    add_path(figure, "--output", "file to write: .svg (and a .pdf beside it), .pdf or .png")

    gallery = add_command(
        commands, "gallery", _run_gallery, "lay out what every model did on every question"
    )
    add_study(gallery)
    add_path(gallery, "--slice", "the slice that was answered")
    add_entry_files(gallery, "--predictions", "what `infer` wrote, in the order to be shown")
    add_path(gallery, "--output", "folder to write; what is there is replaced")

    page = add_command(commands, "page", _run_page, "write the page of a study")
    add_study(page)
    add_path(page, "--leaderboard", "a leaderboard.json")
    add_path(page, "--diagnosis", "a diagnosis.json")
    page.add_argument(
        "--figures", nargs="*", type=Path, default=[], metavar="PATH", help="its figures, .svg"
    )
    add_path(page, "--output", "HTML file to write")

    training = add_command(
        commands, "training-gallery", _run_training_gallery, "lay out episodes of a training run"
    )
    add_config(training)
    add_run(training)
    add_path(training, "--rollouts", "rollouts.jsonl.gz of the run")
    add_path(training, "--data", "the samples that it was trained on")
    add_path(training, "--output", "folder to write; what is there is replaced")


def _run_figure(command: argparse.Namespace) -> None:
    from active_perception_r1.report.figures import (
        FIGURES,
        EpisodesFigure,
        LeaderboardFigure,
        TrainingFigure,
    )
    from active_perception_r1.report.figures._curves import read_curves
    from active_perception_r1.scoring.leaderboard_row import read_leaderboard

    if command.name not in FIGURES:
        raise UserError(f"'{command.name}' is no figure; known: {', '.join(FIGURES)}")
    match FIGURES[command.name]:
        case LeaderboardFigure() as figure:
            _require(command, "leaderboard")
            figure.draw(read_leaderboard(command.leaderboard), command.output)
        case TrainingFigure() as figure:
            _require(command, "metrics")
            figure.draw(read_curves(command.metrics), command.output)
        case EpisodesFigure() as figure:
            _require(command, "study", "slice", "predictions")
            figure.draw(_answers(command), command.output)


def _require(command: argparse.Namespace, *options: str) -> None:
    if missing := [f"--{option}" for option in options if getattr(command, option) is None]:
        raise UserError(
            f"figure {command.name} is drawn from {', '.join(missing)}: say where it is"
        )


def _answers(command: argparse.Namespace) -> Answers:
    from active_perception_r1.report.answers import Answers, Entry

    plan = plan_of(command)
    return Answers(
        study=plan.name,
        slice_file=command.slice,
        entries=[
            Entry(model, mode, plan.model(model), path)
            for (model, mode), path in command.predictions
        ],
        reward=plan.study.reward,
        task=plan.study.task,
    )


def _run_gallery(command: argparse.Namespace) -> None:
    from active_perception_r1.report.gallery.evaluation import gallery_of
    from active_perception_r1.report.gallery.folder import write_gallery

    plan = plan_of(command)
    write_gallery(gallery_of(_answers(command), plan.started_from), command.output)


def _run_training_gallery(command: argparse.Namespace) -> None:
    from active_perception_r1.config import load_config
    from active_perception_r1.report.gallery.folder import write_gallery
    from active_perception_r1.report.gallery.training import gallery_of_training

    config = load_config(command.config)
    run, base = config.training_run(command.run_name)
    task = config.studies[run.study].task
    gallery = gallery_of_training(command.run_name, base, task, command.rollouts, command.data)
    write_gallery(gallery, command.output)


def _run_page(command: argparse.Namespace) -> None:
    from active_perception_r1.report.figures import drawn_of
    from active_perception_r1.report.page.page import write_page
    from active_perception_r1.scoring.diagnosis_row import read_diagnosis
    from active_perception_r1.scoring.leaderboard_row import read_leaderboard

    plan = plan_of(command)
    write_page(
        plan,
        read_leaderboard(command.leaderboard),
        read_diagnosis(command.diagnosis),
        drawn_of(plan, command.figures),
        command.output,
        command.leaderboard.parent,
    )
