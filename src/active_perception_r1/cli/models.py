"""Subcommands that run and train models.

Every stage is imported only when its subcommand runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_gpu_sharing,
    add_number,
    add_path,
    add_task,
    add_text,
    mode_name,
)


def add_commands(commands: Commands) -> None:
    infer = add_command(commands, "infer", _run_infer, "put the questions of a slice to a model")
    add_path(infer, "--slice", "slice to answer")
    add_text(infer, "--model", "name of the model in the results")
    add_text(infer, "--settings", "JSON of the model's entry in the configuration")
    infer.add_argument("--mode", type=mode_name, required=True)
    add_task(infer)
    add_path(infer, "--output", "predictions to write, one JSON line a question")
    add_path(infer, "--partial", "where finished episodes wait until all are done")
    add_number(infer, "--cores", "processes for episodes, if transformers has no GPU", default=1)
    add_gpu_sharing(infer)

    train = add_command(
        commands,
        "train",
        _run_train,
        "improve a model's zooming by GRPO; without --settings and --model, the run of that name"
        " in the configuration file",
    )
    train.add_argument("--run", dest="run_name", required=True, help="name of the training run")
    train.add_argument("--settings", help="JSON of the run's entry in the configuration")
    train.add_argument("--model", help="JSON of the base model's entry")
    add_task(train)
    train.add_argument(
        "--config",
        type=Path,
        default=Path("workflow_config.yaml"),
        metavar="PATH",
        help="configuration file (default: %(default)s)",
    )
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
    add_gpu_sharing(train)

    tiny = add_command(commands, "train-tiny", _run_train_tiny, "train tiny-zoom-vlm from scratch")
    add_path(tiny, "--output", "folder for the model")
    add_path(tiny, "--checkpoints", "folder for the states to resume from")


def _run_infer(command: argparse.Namespace) -> None:
    from active_perception_r1.config import ModelConfig, parse_section

    settings = parse_section(ModelConfig, command.settings)
    with _leased(command, settings.gpus, f"infer {command.model} {command.mode}"):
        from active_perception_r1.models.infer import infer

        infer(
            command.slice,
            command.model,
            settings,
            command.mode,
            command.output,
            command.partial,
            command.cores,
            command.task,
        )


@contextmanager
def _leased(command: argparse.Namespace, gpus: int, purpose: str) -> Iterator[None]:
    """The GPUs that a model needs; torch and engines are imported inside, when they are chosen."""
    from active_perception_r1.config import GpuConfig, parse_section
    from active_perception_r1.runtime.lease import lease, require_granted

    policy = parse_section(GpuConfig, command.gpu)
    require_granted(gpus, command.granted)
    with lease(gpus, policy, purpose):
        yield


def _run_train(command: argparse.Namespace) -> None:
    from active_perception_r1.config import (
        ModelConfig,
        TrainingConfig,
        load_config,
        parse_section,
        training_folder,
    )
    from active_perception_r1.training.engines import ENGINES, Job

    if command.settings and command.model:
        run = parse_section(TrainingConfig, command.settings)
        base, task = parse_section(ModelConfig, command.model), command.task
    else:
        config = load_config(command.config)
        run, base = config.training_run(command.run_name)
        task = config.studies[run.study].task
    folder = training_folder(run.study, command.run_name)
    job = Job(
        name=command.run_name,
        run=run,
        base=base,
        data=command.data or folder / "data.parquet",
        output=command.output or folder,
        checkpoints=command.checkpoints,
        task=task,
    )
    engine = ENGINES[run.engine]
    if command.dry_run:
        print(engine.describe(job))
        return
    with _leased(command, engine.local_gpus(job), f"train {job.name}"):
        engine.train(job)


def _run_train_tiny(command: argparse.Namespace) -> None:
    from active_perception_r1.errors import UserError
    from active_perception_r1.storage.fingerprint import SOURCE

    checkout = SOURCE.parent
    if not (checkout / "recipes").is_dir():
        raise UserError(
            f"{checkout / 'recipes'}: not there, since the recipe is no part of the installed"
            " package; run from a checkout of the repository (git clone, then make env)"
        )
    sys.path.insert(0, str(checkout))
    from recipes.tiny_zoom_vlm.make import make

    make(command.output, command.checkpoints)
