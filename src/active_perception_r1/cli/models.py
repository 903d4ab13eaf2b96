"""Subcommands that run and train models.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_config,
    add_granted,
    add_number,
    add_path,
    add_run,
    add_study,
    add_text,
    mode_name,
    plan_of,
    shard_name,
)


def add_commands(commands: Commands) -> None:
    infer = add_command(commands, "infer", _run_infer, "put the questions of a slice to a model")
    add_study(infer)
    add_text(infer, "--model", "name of the model, or of a training run, in the configuration")
    infer.add_argument("--mode", type=mode_name, required=True)
    add_path(infer, "--slice", "slice to answer")
    add_path(infer, "--output", "predictions to write, one JSON line a question")
    add_path(infer, "--partial", "where finished episodes wait until all are done")
    infer.add_argument(
        "--earlier",
        type=Path,
        metavar="PATH",
        help="the model's predictions in the mode that this one goes by (matched_view: active)",
    )
    infer.add_argument(
        "--shard",
        type=shard_name,
        default="1-of-1",
        help="part of the slice, such as 1-of-4 (default: all of it)",
    )
    add_number(infer, "--cores", "processes for episodes, if transformers has no GPU", default=1)
    add_granted(infer)

    join = add_command(commands, "join", _run_join, "put the predictions of shards together")
    join.add_argument(
        "--parts", nargs="+", required=True, type=Path, help="predictions of all shards, in order"
    )
    add_path(join, "--slice", "slice that they answer")
    add_path(join, "--output", "predictions to write, one JSON line a question")

    train = add_command(commands, "train", _run_train, "improve a model's zooming by GRPO")
    add_config(train)
    add_run(train)
    train.add_argument(
        "--data", type=Path, metavar="PATH", help="training questions, from `grpo-data`"
    )
    train.add_argument(
        "--output", type=Path, metavar="PATH", help="folder for the checkpoint and the metrics"
    )
    train.add_argument(
        "--checkpoints",
        type=Path,
        default=Path("results/.checkpoints"),
        metavar="PATH",
        help="folder for the states to resume from (default: %(default)s)",
    )
    train.add_argument(
        "--dry-run", action="store_true", help="print the launch of verl with every override"
    )
    add_granted(train)

    tiny = add_command(commands, "train-tiny", _run_train_tiny, "train tiny-zoom-vlm from scratch")
    add_path(tiny, "--output", "folder for the model")
    add_path(tiny, "--checkpoints", "folder for the states to resume from")


def _run_infer(command: argparse.Namespace) -> None:
    from active_perception_r1.models.kept_model import can_be_kept
    from active_perception_r1.runtime.lease import lease, require_granted

    plan = plan_of(command)
    settings = plan.model(command.model)
    purpose = f"infer {command.model} {command.mode}"
    kept = can_be_kept(settings)
    require_granted(settings.gpus, command.granted)
    # Of a model that is kept, the process that keeps it has the GPUs.
    with nullcontext() if kept else lease(settings.gpus, plan.config.gpu, purpose):
        from active_perception_r1.models.infer import infer

        infer(
            command.slice,
            command.model,
            settings,
            command.mode,
            command.output,
            command.partial,
            command.cores,
            plan.study.task,
            command.earlier,
            command.shard,
            plan.config.gpu if kept else None,
        )


def _run_join(command: argparse.Namespace) -> None:
    from active_perception_r1.models.join import join

    join(command.parts, command.slice, command.output)


def _run_train(command: argparse.Namespace) -> None:
    from active_perception_r1.config import load_config, training_folder
    from active_perception_r1.runtime.lease import lease, require_granted
    from active_perception_r1.training.engines import ENGINES, Job

    config = load_config(command.config)
    run, base = config.training_run(command.run_name)
    folder = training_folder(run.study, command.run_name)
    job = Job(
        name=command.run_name,
        run=run,
        base=base,
        data=command.data or folder / "data.parquet",
        output=command.output or folder,
        checkpoints=command.checkpoints,
        task=config.studies[run.study].task,
    )
    engine = ENGINES[run.engine]
    if command.dry_run:
        print(engine.describe(job))
        return
    gpus = engine.local_gpus(job)
    require_granted(gpus, command.granted)
    with lease(gpus, config.gpu, f"train {job.name}"):
        engine.train(job)


def _run_train_tiny(command: argparse.Namespace) -> None:
    from active_perception_r1.errors import UserError
    from active_perception_r1.runtime.installation import checkout

    folder = checkout()
    if folder is None:
        raise UserError(
            "train-tiny: the recipe is no part of the installed package; run from a checkout of the"
            " repository (git clone, then make env)"
        )
    sys.path.insert(0, str(folder))
    from recipes.tiny_zoom_vlm.make import make

    make(command.output, command.checkpoints)
