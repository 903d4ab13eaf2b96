"""How subcommands and their arguments are declared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from active_perception_r1.config.plan import StudyPlan
    from active_perception_r1.storage.shards import Shard

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    parser.set_defaults(run=run)
    return parser


def add_path(parser: argparse.ArgumentParser, name: str, purpose: str) -> None:
    parser.add_argument(name, type=Path, required=True, metavar="PATH", help=purpose)


def add_entry_files(parser: argparse.ArgumentParser, name: str, purpose: str) -> None:
    """Files of models in modes: they are called MODEL/MODE, which is what they are read for."""
    parser.add_argument(
        name, nargs="+", required=True, type=entry_file, metavar="MODEL/MODE.SUFFIX", help=purpose
    )


def add_text(
    parser: argparse.ArgumentParser, name: str, purpose: str, default: str | None = None
) -> None:
    suffix = " (default: %(default)s)" if default else ""
    parser.add_argument(name, required=default is None, default=default, help=purpose + suffix)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Keys of the section of a dataset that is named by a few words."""
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="KEY=NAME",
        help="which column of a table holds what, such as id=nr image=picture options=A,B,C,D",
    )
    parser.add_argument("--format", help="how its rows are laid out, where that has a name")
    parser.add_argument("--config-name", help="the hub's name for a part of the repository")
    parser.add_argument("--box-format", help="how boxes are written: xyxy or xywh")
    parser.add_argument("--box-unit", help="what coordinates count: unit, thousand or pixels")


def table_keys(command: argparse.Namespace) -> dict[str, Any]:
    """Those keys that were given."""
    from active_perception_r1.config.dataset_argument import columns_entry

    keys = {
        "columns": columns_entry(command.columns or ()),
        "format": command.format,
        "config": command.config_name,
        "box_format": command.box_format,
        "box_unit": command.box_unit,
    }
    return {key: value for key, value in keys.items() if value}


def add_config(parser: argparse._ActionsContainer) -> None:
    """Where the command finds what it is told by name."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("workflow_config.yaml"),
        metavar="PATH",
        help="configuration file (default: %(default)s)",
    )


def add_study(parser: argparse.ArgumentParser) -> None:
    """The study of a configuration."""
    add_config(parser)
    add_text(parser, "--study", "name of the study in the configuration")


def plan_of(command: argparse.Namespace) -> StudyPlan:
    """The study that `add_study` asks for."""
    from active_perception_r1.config.plan import load_plan

    return load_plan(command.config, command.study)


def add_configfiles(parser: argparse.ArgumentParser) -> None:
    """All files of a configuration, for a command that looks at it as a whole."""
    parser.add_argument(
        "--config",
        type=Path,
        nargs="+",
        default=[Path("workflow_config.yaml")],
        help="as Snakemake's --configfile (default: workflow_config.yaml)",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """The training run of a configuration."""
    parser.add_argument("--run", dest="run_name", required=True, help="name of the training run")


def add_granted(parser: argparse.ArgumentParser) -> None:
    """What a job that leases GPUs is told about them by the pipeline."""
    parser.add_argument(
        "--granted", type=int, metavar="GPUS", help="refuse to run if the model needs more"
    )


def add_number(
    parser: argparse.ArgumentParser, name: str, purpose: str, default: int | None = None
) -> None:
    suffix = " (default: %(default)s)" if default is not None else ""
    parser.add_argument(
        name, type=int, required=default is None, default=default, help=purpose + suffix
    )


def positive(text: str) -> int:
    """A whole number above 0, as the type of an argument."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def mode_name(text: str) -> str:
    """The name of a mode, as the type of an argument."""
    from active_perception_r1.modes import MODES  # here: `--help` need not load what modes need

    if text not in MODES:
        raise argparse.ArgumentTypeError(f"'{text}' is no mode; known: {', '.join(MODES)}")
    return text


def shard_name(text: str) -> Shard:
    """A part of a slice, as the type of an argument."""
    from active_perception_r1.storage.shards import Shard

    try:
        return Shard.named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_task(parser: argparse.ArgumentParser) -> None:
    """The study's task, by name."""
    parser.add_argument(
        "--task",
        type=task_name,
        help="what the questions ask for (default: what the dataset's format is for)",
    )


def task_name(text: str) -> str:
    """The name of a task, as the type of an argument."""
    from active_perception_r1.tasks import TASKS

    if text not in TASKS:
        raise argparse.ArgumentTypeError(f"'{text}' is no task; known: {', '.join(TASKS)}")
    return text


def entry_file(text: str) -> tuple[tuple[str, str], Path]:
    """Model and mode, and the file of what was made of them, as the type of an argument.

    >>> entry_file("results/demo/scores/qwen2.5/active.parquet")
    (('qwen2.5', 'active'), PosixPath('results/demo/scores/qwen2.5/active.parquet'))
    """
    path = Path(text)
    if not path.parent.name:
        raise argparse.ArgumentTypeError(f"'{text}' is not in a folder with the name of a model")
    return (path.parent.name, mode_name(path.stem)), path
