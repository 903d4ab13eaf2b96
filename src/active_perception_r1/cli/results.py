"""Subcommands about scores and leaderboards.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from active_perception_r1.cli.arguments import (
    ENTRY_FILE,
    Commands,
    add_command,
    add_files,
    add_path,
    add_task,
    add_text,
    entry_file,
)


def add_commands(commands: Commands) -> None:
    score = add_command(
        commands, "score", _run_score, "score the predictions of one model in one mode"
    )
    add_path(score, "--predictions", "what `infer` wrote")
    add_path(score, "--slice", "the slice that was answered")
    add_text(score, "--reward", "JSON of the study's reward entry")
    add_task(score)
    score.add_argument(
        "--max-error-share",
        type=float,
        default=1.0,
        help="fail if more of the episodes ended in an error (default: %(default)s)",
    )
    add_path(score, "--output", "parquet file to write, one row a question")

    board = add_command(commands, "leaderboard", _run_leaderboard, "compare models and modes")
    add_text(board, "--study", "name of the study, for the title")
    _add_scores(board)
    add_text(board, "--started-from", "JSON object: trained model to the model it started from")
    add_text(board, "--repeats", "JSON object: groups of models that differ in their seed", "{}")
    add_path(board, "--output", "folder to write leaderboard.json, .csv and .md into")

    stats = add_command(commands, "stats", _run_stats, "explain a leaderboard's numbers in words")
    _add_scores(stats)
    add_text(
        stats, "--started-from", "JSON object: trained model to the model it started from", "{}"
    )

    diagnosis = add_command(commands, "diagnose", _run_diagnose, "where zooming helps and harms")
    add_text(diagnosis, "--study", "name of the study, for the title")
    _add_scores(diagnosis)
    add_text(diagnosis, "--views", "JSON object: model to the first_view entry of its settings")
    add_path(diagnosis, "--output", "folder to write diagnosis.json and .md into")

    show = add_command(commands, "show", _run_show, "print a leaderboard")
    show.add_argument("leaderboard", type=Path, help="a leaderboard.json")


def _add_scores(command: argparse.ArgumentParser) -> None:
    in_order = "what `score` wrote, in the order of the rows"
    add_files(command, "--scores", entry_file, ENTRY_FILE, in_order)


def _run_score(command: argparse.Namespace) -> None:
    from active_perception_r1.config import parse_section
    from active_perception_r1.rewards.active_vision_reward import RewardConfig
    from active_perception_r1.scoring.score import score

    reward = parse_section(RewardConfig, command.reward)
    score(
        command.predictions,
        command.slice,
        reward,
        command.output,
        command.max_error_share,
        command.task,
    )


def _run_leaderboard(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.leaderboard import leaderboard

    leaderboard(
        dict(command.scores),
        command.output,
        command.study,
        json.loads(command.started_from),
        json.loads(command.repeats),
    )


def _run_stats(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.explain import explain

    print(explain(dict(command.scores), json.loads(command.started_from)))


def _run_diagnose(command: argparse.Namespace) -> None:
    from active_perception_r1.envs.zoom_simulator import ViewRules
    from active_perception_r1.scoring.diagnosis import diagnose

    views = {model: ViewRules(**view) for model, view in json.loads(command.views).items()}
    diagnose(dict(command.scores), views, command.output, command.study)


def _run_show(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.tables import print_leaderboard

    print_leaderboard(command.leaderboard)
