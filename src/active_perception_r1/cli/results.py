"""Subcommands about scores and leaderboards.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_entry_files,
    add_path,
    add_study,
    plan_of,
)


def add_commands(commands: Commands) -> None:
    score = add_command(
        commands, "score", _run_score, "score the predictions of one model in one mode"
    )
    add_study(score)
    add_path(score, "--predictions", "what `infer` wrote")
    add_path(score, "--slice", "the slice that was answered")
    add_path(score, "--output", "parquet file to write, one row a question")

    board = add_command(commands, "leaderboard", _run_leaderboard, "compare models and modes")
    add_study(board)
    _add_scores(board)
    add_path(board, "--output", "folder to write leaderboard.json, .csv, .md and .tex into")

    stats = add_command(commands, "stats", _run_stats, "explain a leaderboard's numbers in words")
    add_study(stats)
    _add_scores(stats)

    diagnosis = add_command(commands, "diagnose", _run_diagnose, "where zooming helps and harms")
    add_study(diagnosis)
    _add_scores(diagnosis)
    add_path(diagnosis, "--output", "folder to write diagnosis.json and .md into")

    show = add_command(commands, "show", _run_show, "print a leaderboard")
    show.add_argument("leaderboard", type=Path, help="a leaderboard.json")


def _add_scores(command: argparse.ArgumentParser) -> None:
    add_entry_files(command, "--scores", "what `score` wrote, in the order of the rows")


def _run_score(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.score import score

    study = plan_of(command).study
    score(
        command.predictions,
        command.slice,
        study.reward,
        command.output,
        study.max_error_share,
        study.task,
    )


def _run_leaderboard(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.leaderboard import leaderboard

    plan = plan_of(command)
    leaderboard(
        dict(command.scores),
        command.output,
        plan.name,
        plan.started_from,
        plan.repeats,
        plan.prices,
    )


def _run_stats(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.explain import explain

    plan = plan_of(command)
    print(explain(dict(command.scores), plan.started_from))


def _run_diagnose(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.diagnosis import diagnose

    plan = plan_of(command)
    diagnose(dict(command.scores), plan.views, command.output, plan.name)


def _run_show(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.tables import print_leaderboard

    print_leaderboard(command.leaderboard)
