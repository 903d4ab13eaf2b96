"""Subcommands that draw the report's figures, beside those of `results`.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import Commands, add_command, add_path


def add_commands(commands: Commands) -> None:
    parts = add_command(
        commands, "reward-figure", _run_reward_figure, "draw the reward's parts over training"
    )
    add_path(parts, "--metrics", "metrics.jsonl of the run")
    add_path(parts, "--output", "figure to write, .svg or .png")

    endings = add_command(
        commands, "endings-figure", _run_endings_figure, "draw how episodes ended"
    )
    add_path(endings, "--leaderboard", "a leaderboard.json")
    add_path(endings, "--output", "figure to write, .svg or .png")

    page = add_command(
        commands, "leaderboard-page", _run_leaderboard_page, "write a leaderboard for the report"
    )
    add_path(page, "--leaderboard", "a leaderboard.json")
    add_path(page, "--output", "HTML file to write")

    zooms = add_command(
        commands, "zoom-map", _run_zoom_map, "draw where zooms land around the evidence"
    )
    add_path(zooms, "--slice", "the slice that was answered")
    zooms.add_argument(
        "--predictions",
        nargs="+",
        required=True,
        type=_model_file,
        metavar="MODEL=FILE",
        help="what `infer` wrote in mode active",
    )
    add_path(zooms, "--output", "figure to write, .svg or .png")


def _model_file(text: str) -> tuple[str, Path]:
    model, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL=FILE")
    return model, Path(path)


def _run_reward_figure(command: argparse.Namespace) -> None:
    from active_perception_r1.report.reward_parts import reward_parts

    reward_parts(command.metrics, command.output)


def _run_endings_figure(command: argparse.Namespace) -> None:
    from active_perception_r1.report.endings import endings

    endings(command.leaderboard, command.output)


def _run_leaderboard_page(command: argparse.Namespace) -> None:
    from active_perception_r1.report.leaderboard_page import leaderboard_page

    leaderboard_page(command.leaderboard, command.output)


def _run_zoom_map(command: argparse.Namespace) -> None:
    from active_perception_r1.report.zoom_map import zoom_map

    zoom_map(dict(command.predictions), command.slice, command.output)
