"""Subcommands that draw the report's pictures.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from active_perception_r1.cli.arguments import (
    ENTRY_FILE,
    Commands,
    add_command,
    add_files,
    add_number,
    add_path,
    add_task,
    add_text,
    entry_file,
)

_METRICS = ("--metrics", "metrics.jsonl of the run")
_LEADERBOARD = ("--leaderboard", "a leaderboard.json")
_OUTPUT = "file to write: .svg or .png, or .html for a page"

# What is drawn from one file: the command, its purpose, that file, and the function of `report`.
_PICTURES = (
    ("learning-curve", "draw how a training run went", _METRICS, "learning_curve.learning_curve"),
    (
        "reward-figure",
        "draw the reward's terms over training",
        _METRICS,
        "reward_terms.reward_terms",
    ),
    ("accuracy-figure", "draw accuracy by mode", _LEADERBOARD, "accuracy.accuracy_by_mode"),
    ("headroom-figure", "draw accuracy over first views", _LEADERBOARD, "headroom.headroom"),
    (
        "endings-figure",
        "draw how episodes ended",
        _LEADERBOARD,
        "termination_status.endings",
    ),
    (
        "leaderboard-page",
        "write the report's table",
        _LEADERBOARD,
        "leaderboard_page.leaderboard_page",
    ),
)


def add_commands(commands: Commands) -> None:
    for name, purpose, (option, source), drawn_by in _PICTURES:
        picture = add_command(commands, name, _run_picture, purpose)
        picture.add_argument(
            option, dest="source", type=Path, required=True, metavar="PATH", help=source
        )
        add_path(picture, "--output", _OUTPUT)
        picture.set_defaults(drawn_by=drawn_by)

    zooms = add_command(
        commands, "zoom-map", _run_zoom_map, "draw where zooms land around the evidence"
    )
    add_path(zooms, "--slice", "the slice that was answered")
    add_files(
        zooms, "--predictions", _model_file, "MODEL=FILE", "what `infer` wrote in mode active"
    )
    add_path(zooms, "--output", _OUTPUT)

    gallery = add_command(
        commands, "gallery", _run_gallery, "show what models did on each question, on one page"
    )
    add_text(gallery, "--study", "name of the study, for the title")
    add_path(gallery, "--slice", "the slice that was answered")
    add_text(gallery, "--models", "JSON object: each model's entry in the configuration")
    in_order = "what `infer` wrote, in the order to be shown"
    add_files(gallery, "--predictions", entry_file, ENTRY_FILE, in_order)
    add_text(gallery, "--reward", "JSON of the study's reward entry")
    add_task(gallery)
    add_number(gallery, "--episodes", "how many at most", 1000)
    add_path(gallery, "--output", "HTML file to write")


def _model_file(text: str) -> tuple[str, Path]:
    model, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL=FILE")
    return model, Path(path)


def _run_picture(command: argparse.Namespace) -> None:
    module, _, function = command.drawn_by.partition(".")
    draw = getattr(import_module(f"active_perception_r1.report.{module}"), function)
    draw(command.source, command.output)


def _run_zoom_map(command: argparse.Namespace) -> None:
    from active_perception_r1.report.zoom_map import zoom_map

    zoom_map(dict(command.predictions), command.slice, command.output)


def _run_gallery(command: argparse.Namespace) -> None:
    from active_perception_r1.config import ModelConfig, parse_section
    from active_perception_r1.report.gallery import write_gallery
    from active_perception_r1.report.gallery.episodes import Entry
    from active_perception_r1.rewards.active_vision_reward import RewardConfig

    models = parse_section(dict[str, ModelConfig], command.models)
    entries = [
        Entry(model, mode, models[model], path) for (model, mode), path in command.predictions
    ]
    reward = parse_section(RewardConfig, command.reward)
    write_gallery(
        command.study,
        command.slice,
        entries,
        reward,
        command.episodes,
        command.output,
        command.task,
    )
