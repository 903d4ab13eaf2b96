"""What the demo's training comes to, whatever its seed: python benchmarks/seeds.py

    --seeds N ...  of the training runs (default: 0 1 2)

Trains the demo's run once for each seed, and asks all of them the demo's questions in the demo's
modes: study `seeds`, under `results`. Where a run was cut off, it goes on. Values are means over
the seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from measuring import Figure, report
from settings import REPOSITORY

STUDY, RUN = "seeds", "tiny-zoom-vlm+grpo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    own = REPOSITORY / "workflow_config.yaml"
    more = REPOSITORY / "results" / f".{STUDY}.yaml"
    more.parent.mkdir(exist_ok=True)
    more.write_text(json.dumps(configuration(yaml.safe_load(own.read_text()), seeds)))
    command = ["snakemake", "--cores", "all", "--configfile", own, more]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    rows = json.loads((REPOSITORY / "results" / STUDY / "leaderboard.json").read_text())
    report(STUDY, figures(rows))


def configuration(demo: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """What is merged over the configuration: a study of one run for each seed."""
    run, study = demo["training"][RUN], demo["studies"]["demo"]
    runs = {f"{RUN}-{seed}": {**run, "study": STUDY, "seed": seed} for seed in seeds}
    studies = {STUDY: {**study, "models": [run["base"], *runs]}}
    return {"study": STUDY, "studies": studies, "training": runs}


def figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Accuracy and use of the zoom after training, in each mode: all, by need, by layout."""
    trained = [row for row in rows if row["model"].startswith(RUN)]
    found = []
    for mode in dict.fromkeys(row["mode"] for row in trained):
        runs = [measures(row) for row in trained if row["mode"] == mode]
        for what in runs[0]:
            values = [run[what] for run in runs]
            mean, low, high = statistics.fmean(values), min(values), max(values)
            found.append(Figure(f"{mode}, {what}", mean, low, high, len(values)))
    return found


def measures(row: Mapping[str, Any]) -> dict[str, float]:
    found = {"accuracy": row["accuracy"]}
    for needed, part in row["by_requires_zoom"].items():
        name = "needs a zoom" if needed == "true" else "needs no zoom"
        found[f"{name}: accuracy"] = part["accuracy"]
        if part["zoom_rate"] is not None:
            found[f"{name}: zoomed"] = part["zoom_rate"]
    return found | {name: part["accuracy"] for name, part in row["by_layout"].items()}


if __name__ == "__main__":
    main()
