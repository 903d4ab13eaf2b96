"""The command line: one subcommand for each stage of the pipeline, and some to use without it."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from active_perception_r1 import handlers
from active_perception_r1.errors import UserError
from active_perception_r1.records import Mode

INTERRUPTED = 130  # What a shell reports for a command that was ended with Ctrl-C.

# What is wrong outside the code when the system refuses a file.
_REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if it went well, 1 after a mistake that the user can mend."""
    # Threads that wait for work must not keep the cores from other jobs. Read when torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = _parser().parse_args(arguments)
    try:
        command.run(command)
    except UserError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return _complain(f"{error.filename or 'a file'}: {error.strerror}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="active-perception",
        description="Does a vision-language model answer better when it can look closer?",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_data_commands(commands)
    _add_model_commands(commands)
    _add_result_commands(commands)
    _add_benchmark_command(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_data_commands(commands: _Commands) -> None:
    download = _command(
        commands, "download", handlers.run_download, "bring a split of a dataset to disk"
    )
    _text(download, "--dataset", "JSON of the dataset's entry in the configuration")
    _text(download, "--split", "name of the split")
    _path(download, "--output", "parquet file to write, with a JSON beside it")

    sample_slice = _command(
        commands, "sample-slice", handlers.run_sample_slice, "draw evaluation questions"
    )
    _path(sample_slice, "--dataset", "parquet file that `download` wrote")
    _text(sample_slice, "--slice", "JSON of the slice's entry in the configuration")
    _path(sample_slice, "--output", "parquet file to write, with a JSON beside it")

    grpo_data = _command(commands, "grpo-data", handlers.run_grpo_data, "draw training questions")
    _path(grpo_data, "--dataset", "parquet file that `download` wrote")
    _path(grpo_data, "--evaluation-slice", "slice whose pages must not be trained on")
    _number(grpo_data, "--samples", "how many questions")
    _number(grpo_data, "--seed", "seed of the draw")
    _path(grpo_data, "--output", "parquet file to write, with a JSON beside it")


def _add_model_commands(commands: _Commands) -> None:
    infer = _command(
        commands, "infer", handlers.run_infer, "put the questions of a slice to a model"
    )
    _path(infer, "--slice", "slice to answer")
    _text(infer, "--model", "name of the model in the results")
    _text(infer, "--settings", "JSON of the model's entry in the configuration")
    infer.add_argument("--mode", type=Mode, choices=list(Mode), required=True)
    _path(infer, "--output", "predictions to write, one JSON line a question")
    _path(infer, "--partial", "where finished episodes wait until all are done")

    train = _command(commands, "train", handlers.run_train, "improve a model's zooming by GRPO")
    train.add_argument("--run", dest="run_name", required=True, help="name of the training run")
    _text(train, "--settings", "JSON of the run's entry in the configuration")
    _text(train, "--model", "JSON of the base model's entry")
    _path(train, "--data", "training questions, from `grpo-data`")
    _path(train, "--output", "folder for the trained checkpoint and the metrics")
    _path(train, "--checkpoints", "folder for the states to resume from")

    tiny = _command(
        commands, "train-tiny", handlers.run_train_tiny, "train tiny-zoom-vlm from scratch"
    )
    _path(tiny, "--output", "folder for the model")
    _path(tiny, "--checkpoints", "folder for the states to resume from")


def _add_result_commands(commands: _Commands) -> None:
    score = _command(
        commands, "score", handlers.run_score, "score the predictions of one model in one mode"
    )
    _path(score, "--predictions", "what `infer` wrote")
    _path(score, "--slice", "the slice that was answered")
    _text(score, "--reward", "JSON of the study's reward entry")
    _path(score, "--output", "parquet file to write, one row a question")

    board = _command(commands, "leaderboard", handlers.run_leaderboard, "compare models and modes")
    _text(board, "--study", "name of the study, for the title")
    board.add_argument(
        "--scores",
        nargs="+",
        required=True,
        type=_scores,
        metavar="MODEL/MODE=FILE",
        help="what `score` wrote, in the order of the rows",
    )
    _text(board, "--base-of", "JSON object: trained model to the model it started from")
    _path(board, "--output", "folder to write leaderboard.json, .csv and .md into")

    show = _command(commands, "show", handlers.run_show, "print a leaderboard")
    show.add_argument("leaderboard", type=Path, help="a leaderboard.json")

    curve = _command(
        commands, "learning-curve", handlers.run_learning_curve, "draw how a training run went"
    )
    _path(curve, "--metrics", "metrics.jsonl of the run")
    _path(curve, "--output", "figure to write, .svg or .png")

    accuracy = _command(
        commands, "accuracy-figure", handlers.run_accuracy_figure, "draw accuracy by mode"
    )
    _path(accuracy, "--leaderboard", "a leaderboard.json")
    _path(accuracy, "--output", "figure to write, .svg or .png")


def _add_benchmark_command(commands: _Commands) -> None:
    benchmark = _command(
        commands,
        "benchmark",
        handlers.run_benchmark,
        "try one model in baseline, active and oracle, without the pipeline",
    )
    _text(benchmark, "--model-id", "a name from the configuration, a folder, or a hub id")
    _number(benchmark, "--samples", "how many questions", 24)
    benchmark.add_argument(
        "--active-strategy",
        choices=("default", "strict_zoom"),
        default="default",
        help="strict_zoom accepts no answer without a zoom (default: %(default)s)",
    )
    _path(benchmark, "--output-dir", "folder for benchmark.json, benchmark.md and the stages")
    _text(benchmark, "--dataset", "synthetic, a parquet file or folder, or a hub id", "synthetic")
    _text(benchmark, "--split", "split to draw from", "test")
    _number(benchmark, "--seed", "seed of the draw", 29)
    _number(benchmark, "--view-pixels", "first view and crops of a model not configured", 401408)
    _text(benchmark, "--zoom-syntax", "how a model not configured asks for a zoom", "zoom_roi")
    benchmark.add_argument(
        "--config",
        type=Path,
        default=Path("workflow_config.yaml"),
        help="where models are looked up by name (default: %(default)s)",
    )
    benchmark.add_argument(
        "--allow-busy-gpu", action="store_true", help="share a GPU that others are using"
    )


def _command(
    commands: _Commands, name: str, run: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    parser.set_defaults(run=run)
    return parser


def _path(parser: argparse.ArgumentParser, name: str, purpose: str) -> None:
    parser.add_argument(name, type=Path, required=True, metavar="PATH", help=purpose)


def _text(
    parser: argparse.ArgumentParser, name: str, purpose: str, default: str | None = None
) -> None:
    suffix = " (default: %(default)s)" if default else ""
    parser.add_argument(name, required=default is None, default=default, help=purpose + suffix)


def _number(
    parser: argparse.ArgumentParser, name: str, purpose: str, default: int | None = None
) -> None:
    suffix = " (default: %(default)s)" if default is not None else ""
    parser.add_argument(
        name, type=int, required=default is None, default=default, help=purpose + suffix
    )


def _scores(text: str) -> tuple[tuple[str, str], Path]:
    entry, _, path = text.partition("=")
    model, _, mode = entry.partition("/")
    if mode not in list(Mode) or not path:
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL/MODE=FILE")
    return (model, mode), Path(path)


if __name__ == "__main__":
    sys.exit(main())
