"""The subcommand that tries one model without the pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from active_perception_r1.cli.arguments import (
    Commands,
    add_command,
    add_number,
    add_path,
    add_table_options,
    add_task,
    add_text,
    mode_name,
    table_keys,
)

_ACTIVE = {"default": "active", "strict_zoom": "strict_zoom"}


def add_commands(commands: Commands) -> None:
    benchmark = add_command(
        commands,
        "benchmark",
        _run_benchmark,
        "try one model in some modes, without the pipeline",
    )
    add_text(benchmark, "--model-id", "a name from the configuration, a folder, or a hub id")
    add_number(benchmark, "--samples", "how many questions", 24)
    benchmark.add_argument(
        "--modes",
        nargs="+",
        type=mode_name,
        metavar="MODE",
        help="how it is asked (default: baseline active oracle)",
    )
    benchmark.add_argument(
        "--active-strategy",
        choices=("default", "strict_zoom"),
        default="default",
        help="without --modes: strict_zoom in place of active (default: %(default)s)",
    )
    benchmark.add_argument("--prompts", help="in which words (default: those of the entry)")
    add_path(benchmark, "--output-dir", "folder for benchmark.json, benchmark.md and the stages")
    add_text(
        benchmark, "--dataset", "synthetic, a table or a folder of them, or a hub id", "synthetic"
    )
    add_table_options(benchmark)
    add_task(benchmark)
    add_text(benchmark, "--split", "split to draw from", "test")
    add_number(benchmark, "--seed", "seed of the draw", 29)
    add_number(benchmark, "--view-pixels", "first view and crops of a model not configured", 401408)
    add_text(benchmark, "--zoom-syntax", "how a model not configured asks for a zoom", "zoom_roi")
    benchmark.add_argument(
        "--backend",
        choices=("transformers", "vllm", "openai"),
        help="engine (default: that of the entry, or transformers)",
    )
    benchmark.add_argument(
        "--base-url",
        help="server of backend openai, such as http://localhost:8000/v1; its key, if it needs one,"
        " in OPENAI_API_KEY",
    )
    benchmark.add_argument(
        "--config",
        type=Path,
        default=Path("workflow_config.yaml"),
        help="where models are looked up by name (default: %(default)s)",
    )
    benchmark.add_argument(
        "--allow-busy-gpu", action="store_true", help="share a GPU that others are using"
    )


def _run_benchmark(command: argparse.Namespace) -> None:
    from active_perception_r1.benchmark import BenchmarkSettings, benchmark

    benchmark(
        BenchmarkSettings(
            model_id=command.model_id,
            samples=command.samples,
            modes=command.modes or ("baseline", _ACTIVE[command.active_strategy], "oracle"),
            prompts=command.prompts,
            dataset=command.dataset,
            table=table_keys(command),
            split=command.split,
            seed=command.seed,
            view_pixels=command.view_pixels,
            zoom_syntax=command.zoom_syntax,
            config=command.config,
            allow_busy_gpu=command.allow_busy_gpu,
            backend=command.backend,
            base_url=command.base_url,
            task=command.task,
        ),
        command.output_dir,
    )
