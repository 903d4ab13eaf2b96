"""The subcommand that draws the figures and pages of the report.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from active_perception_r1.cli.arguments import (
    ENTRY_FILE,
    Commands,
    add_command,
    add_path,
    add_task,
    entry_file,
)
from active_perception_r1.errors import UserError

if TYPE_CHECKING:
    from active_perception_r1.report.answers import Answers


def add_commands(commands: Commands) -> None:
    figure = add_command(commands, "figure", _run_figure, "draw a figure or page of the report")
    figure.add_argument("name", help="which: the name of its module in report/figures")
    source = figure.add_argument_group("what it is drawn from (the figure says which of these)")
    source.add_argument("--leaderboard", type=Path, help="a leaderboard.json")
    source.add_argument("--metrics", type=Path, help="metrics.jsonl of a training run")
    source.add_argument("--slice", type=Path, help="the slice that was answered")
    source.add_argument(
        "--predictions",
        nargs="+",
        type=entry_file,
        metavar=ENTRY_FILE,
        help="what `infer` wrote, in the order to be shown",
    )
    source.add_argument("--study", help="name of the study, for the title")
    source.add_argument("--models", help="JSON object: each model's entry in the configuration")
    source.add_argument("--reward", help="JSON of the study's reward entry")
    add_task(figure)
    add_path(figure, "--output", "file to write: .svg or .png, or .html for a page")


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
            _require(command, "study", "slice", "predictions", "models", "reward")
            figure.draw(_answers(command), command.output)


def _require(command: argparse.Namespace, *options: str) -> None:
    if missing := [f"--{option}" for option in options if getattr(command, option) is None]:
        raise UserError(
            f"figure {command.name} is drawn from {', '.join(missing)}: say where it is"
        )


def _answers(command: argparse.Namespace) -> Answers:
    from active_perception_r1.config import ModelConfig, parse_section
    from active_perception_r1.report.answers import Answers, Entry
    from active_perception_r1.rewards.active_vision_reward import RewardConfig

    models = parse_section(dict[str, ModelConfig], command.models)
    return Answers(
        study=command.study,
        slice_file=command.slice,
        entries=[
            Entry(model, mode, models[model], path) for (model, mode), path in command.predictions
        ],
        reward=parse_section(RewardConfig, command.reward),
        task=command.task,
    )
