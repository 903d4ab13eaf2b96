"""Subcommands about scores, leaderboards and figures.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from active_perception_r1.cli.arguments import Commands, add_command, add_number, add_path, add_text
from active_perception_r1.records import Mode


def add_commands(commands: Commands) -> None:
    score = add_command(
        commands, "score", _run_score, "score the predictions of one model in one mode"
    )
    add_path(score, "--predictions", "what `infer` wrote")
    add_path(score, "--slice", "the slice that was answered")
    add_text(score, "--reward", "JSON of the study's reward entry")
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
    add_text(board, "--base-of", "JSON object: trained model to the model it started from")
    add_text(board, "--repeats", "JSON object: groups of models that differ in their seed", "{}")
    add_path(board, "--output", "folder to write leaderboard.json, .csv and .md into")

    stats = add_command(commands, "stats", _run_stats, "derive a leaderboard's numbers in words")
    _add_scores(stats)
    add_text(stats, "--base-of", "JSON object: trained model to the model it started from", "{}")

    diagnosis = add_command(commands, "diagnose", _run_diagnose, "where zooming helps and harms")
    add_text(diagnosis, "--study", "name of the study, for the title")
    _add_scores(diagnosis)
    add_text(diagnosis, "--views", "JSON object: model to the first_view entry of its settings")
    add_path(diagnosis, "--output", "folder to write diagnosis.json and .md into")

    show = add_command(commands, "show", _run_show, "print a leaderboard")
    show.add_argument("leaderboard", type=Path, help="a leaderboard.json")

    curve = add_command(
        commands, "learning-curve", _run_learning_curve, "draw how a training run went"
    )
    add_path(curve, "--metrics", "metrics.jsonl of the run")
    add_path(curve, "--output", "figure to write, .svg or .png")

    accuracy = add_command(
        commands, "accuracy-figure", _run_accuracy_figure, "draw accuracy by mode"
    )
    add_path(accuracy, "--leaderboard", "a leaderboard.json")
    add_path(accuracy, "--output", "figure to write, .svg or .png")
    headroom = add_command(
        commands, "headroom-figure", _run_headroom_figure, "draw accuracy over first-view budgets"
    )
    add_path(headroom, "--leaderboard", "leaderboard.json of a study with first_views")
    add_path(headroom, "--output", "figure to write, .svg or .png")
    _add_gallery(commands)


def _add_gallery(commands: Commands) -> None:
    gallery = add_command(
        commands, "gallery", _run_gallery, "show what models did on each question, on one page"
    )
    add_text(gallery, "--study", "name of the study, for the title")
    add_path(gallery, "--slice", "the slice that was answered")
    add_text(gallery, "--models", "JSON object: each model's entry in the configuration")
    gallery.add_argument(
        "--predictions",
        nargs="+",
        required=True,
        type=_scores,
        metavar="MODEL/MODE=FILE",
        help="what `infer` wrote, in the order to be shown",
    )
    add_text(gallery, "--reward", "JSON of the study's reward entry")
    add_number(gallery, "--episodes", "how many at most", 1000)
    add_path(gallery, "--output", "HTML file to write")


def _add_scores(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scores",
        nargs="+",
        required=True,
        type=_scores,
        metavar="MODEL/MODE=FILE",
        help="what `score` wrote, in the order of the rows",
    )


def _scores(text: str) -> tuple[tuple[str, str], Path]:
    entry, _, path = text.partition("=")
    model, _, mode = entry.partition("/")
    if mode not in list(Mode) or not path:
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL/MODE=FILE")
    return (model, mode), Path(path)


def _run_score(command: argparse.Namespace) -> None:
    from active_perception_r1.config import parse_section
    from active_perception_r1.rewards.active_vision_reward import RewardConfig
    from active_perception_r1.scoring.score import score

    reward = parse_section(RewardConfig, command.reward)
    score(command.predictions, command.slice, reward, command.output, command.max_error_share)


def _run_leaderboard(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.leaderboard import leaderboard

    leaderboard(
        dict(command.scores),
        command.output,
        command.study,
        json.loads(command.base_of),
        json.loads(command.repeats),
    )


def _run_stats(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.derivation import derivation

    print(derivation(dict(command.scores), json.loads(command.base_of)))


def _run_diagnose(command: argparse.Namespace) -> None:
    from active_perception_r1.envs.zoom_simulator import ViewRules
    from active_perception_r1.scoring.diagnosis import diagnose

    views = {model: ViewRules(**view) for model, view in json.loads(command.views).items()}
    diagnose(dict(command.scores), views, command.output, command.study)


def _run_learning_curve(command: argparse.Namespace) -> None:
    from active_perception_r1.report.learning_curve import learning_curve

    learning_curve(command.metrics, command.output)


def _run_accuracy_figure(command: argparse.Namespace) -> None:
    from active_perception_r1.report.accuracy import accuracy_by_mode

    accuracy_by_mode(command.leaderboard, command.output)


def _run_headroom_figure(command: argparse.Namespace) -> None:
    from active_perception_r1.report.headroom import headroom

    headroom(command.leaderboard, command.output)


def _run_gallery(command: argparse.Namespace) -> None:
    from active_perception_r1.config import ModelConfig, parse_section
    from active_perception_r1.report.gallery import write_gallery
    from active_perception_r1.report.gallery.episodes import Entry
    from active_perception_r1.rewards.active_vision_reward import RewardConfig

    models = parse_section(dict[str, ModelConfig], command.models)
    entries = [
        Entry(model, Mode(mode), models[model], path) for (model, mode), path in command.predictions
    ]
    reward = parse_section(RewardConfig, command.reward)
    write_gallery(command.study, command.slice, entries, reward, command.episodes, command.output)


def _run_show(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.tables import print_leaderboard

    print_leaderboard(command.leaderboard)
