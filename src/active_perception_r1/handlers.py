"""From the arguments of a subcommand to the call of its stage.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil


def run_download(command: argparse.Namespace) -> None:
    from active_perception_r1.config import DatasetConfig, parse_section
    from active_perception_r1.data.sources import download

    download(parse_section(DatasetConfig, command.dataset), command.split, command.output)


def run_sample_slice(command: argparse.Namespace) -> None:
    from active_perception_r1.config import SliceConfig, parse_section
    from active_perception_r1.data.slices import sample_slice

    sample_slice(command.dataset, parse_section(SliceConfig, command.slice), command.output)


def run_grpo_data(command: argparse.Namespace) -> None:
    from active_perception_r1.data.slices import grpo_data

    grpo_data(
        command.dataset, command.evaluation_slice, command.samples, command.seed, command.output
    )


def run_infer(command: argparse.Namespace) -> None:
    from active_perception_r1.config import ModelConfig, parse_section
    from active_perception_r1.models.infer import infer

    settings = parse_section(ModelConfig, command.settings)
    infer(command.slice, command.model, settings, command.mode, command.output, command.partial)


def run_train(command: argparse.Namespace) -> None:
    from active_perception_r1.config import ModelConfig, TrainingConfig, parse_section
    from active_perception_r1.data.files import sha256_of
    from active_perception_r1.runtime.fingerprint import (
        code_fingerprint,
        fingerprint,
        local_content,
    )
    from active_perception_r1.training.grpo import train

    run = parse_section(TrainingConfig, command.settings)
    base = parse_section(ModelConfig, command.model)
    # The state of a run with other code, settings or data must not be taken up.
    state = fingerprint(
        code_fingerprint("training.grpo"),
        run.model_dump_json(),
        base.model_dump_json(),
        local_content(base.id),
        sha256_of(command.data),
    )
    train(command.run_name, run, base, command.data, command.output, command.checkpoints / state)


def run_train_tiny(command: argparse.Namespace) -> None:
    from active_perception_r1.models.tiny.train import TrainSettings, train
    from active_perception_r1.runtime.fingerprint import code_fingerprint

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    state = command.checkpoints / code_fingerprint("models.tiny.train")
    train(TrainSettings(), state)
    shutil.copytree(
        state, command.output, ignore=shutil.ignore_patterns("checkpoint.*"), dirs_exist_ok=True
    )


def run_score(command: argparse.Namespace) -> None:
    from active_perception_r1.config import parse_section
    from active_perception_r1.rewards.active_vision_reward import RewardConfig
    from active_perception_r1.scoring.score import score

    reward = parse_section(RewardConfig, command.reward)
    score(command.predictions, command.slice, reward, command.output)


def run_leaderboard(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.leaderboard import leaderboard

    leaderboard(dict(command.scores), command.output, command.study, json.loads(command.base_of))


def run_learning_curve(command: argparse.Namespace) -> None:
    from active_perception_r1.report.figures import learning_curve

    learning_curve(command.metrics, command.output)


def run_accuracy_figure(command: argparse.Namespace) -> None:
    from active_perception_r1.report.figures import accuracy_by_mode

    accuracy_by_mode(command.leaderboard, command.output)


def run_show(command: argparse.Namespace) -> None:
    from active_perception_r1.scoring.tables import print_leaderboard

    print_leaderboard(command.leaderboard)


def run_benchmark(command: argparse.Namespace) -> None:
    from active_perception_r1.benchmark import BenchmarkSettings, benchmark

    benchmark(
        BenchmarkSettings(
            model_id=command.model_id,
            samples=command.samples,
            strategy=command.active_strategy,
            dataset=command.dataset,
            split=command.split,
            seed=command.seed,
            view_pixels=command.view_pixels,
            zoom_syntax=command.zoom_syntax,
            config=command.config,
            allow_busy_gpu=command.allow_busy_gpu,
        ),
        command.output_dir,
    )
