"""Has something become slower? python benchmarks/regressions.py

A short run beside the figures of `benchmarks/results/`. Compared are ratios of measurements that
are taken in turns, in which the speed of the machine cancels for the most part: with AVX-512, one
question at a time gains more than a batch does, and on a busy machine all of them vary. A report to
read before a change lands: its exit code says nothing about what it finds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import core
import inference
from measuring import RESULTS, machine
from tabulate import tabulate

from active_perception_r1.config import load_config

PAGES, REPEATS = 96, 2
SLOWER = 1.3
WATCHED = {  # where it is recorded, and the figure, of which more is better
    "core": ("ANLS, speed-up",),
    "inference": (
        "faster than one by one",
        "faster than one by one, one process",
        "one process, speed over bare generation",
    ),
}


def main() -> None:
    found, rows = measure(), []
    for name, watched in WATCHED.items():
        document = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        recorded = {figure["what"]: figure["value"] for figure in document["figures"]}
        rows += [row(what, recorded[what], found[what], document) for what in watched]
    print(machine())
    print(tabulate(rows, headers="keys", floatfmt=".2f"))


def measure() -> dict[str, float]:
    settings = load_config(Path("workflow_config.yaml")).models["tiny-zoom-vlm"]
    with tempfile.TemporaryDirectory() as folder:
        speeds = inference.compare(settings, inference.draw(Path(folder), PAGES), REPEATS)
    figures = {figure.what: figure.value for figure in inference.as_figures(speeds)}
    return {**figures, **{what: value for what, value, _ in core.anls_rows()}}


def row(what: str, before: float, now: float, document: Mapping[str, Any]) -> dict[str, object]:
    slower = before / now
    return {
        "ratio": what,
        "recorded": before,
        "now": now,
        "slower by": slower,
        "": "SLOWER" if slower > SLOWER else "",
        "recorded with": f"{document['machine'].partition(',')[0]}, commit {document['commit']}",
    }


if __name__ == "__main__":
    main()
