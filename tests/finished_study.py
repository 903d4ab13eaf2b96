"""A small finished study with its manifest, made without Snakemake, for tests of provenance."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from active_perception_r1.data.samples import write_samples
from active_perception_r1.report.provenance.manifest import write_manifest
from tests.scripted import make_sample, run

CONFIG: dict[str, Any] = {
    "study": "s",
    "studies": {
        "s": {
            "dataset": {"source": "synthetic"},
            "slice": {"seed": 29},
            "models": ["m"],
            "modes": ["active"],
        }
    },
    "models": {"m": {"id": "weights", "first_view": {"max_pixels": 99}, "crop": {"max_pixels": 9}}},
}


def row(accuracy: float = 0.5, **others: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "mode": "active",
        "n": 100,
        "accuracy": accuracy,
        "ci_low": accuracy - 0.1,
        "ci_high": accuracy + 0.1,
        "delta_vs_start": None,
        **others,
    }


def finish_study(config: dict[str, Any], about: dict[str, str] | None = None) -> Path:
    """`results/s` below the working directory, with one model in one mode.

    Args:
        about: what the format of the dataset knows of it.
    """
    results = Path("results/s")
    files = {
        Path("weights/model.bin"): "weights",
        results / "leaderboard.json": json.dumps([row()]),
        results / "dataset/test.json": json.dumps(
            {"revision": "seed 0", **({"about": about} if about else {})}
        ),
        results / "dataset/test.parquet": "pages",
        results / "predictions/m/active.jsonl": run(["<answer>42</answer>"]).to_json() + "\n",
        results / "predictions/m/active.json": "{}",
        results / "training/r/checkpoint/model.bin": "trained",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    write_samples(results / "slice/test.parquet", [make_sample()])
    remember(results / "leaderboard.json", "leaderboard", "active-perception leaderboard", 100.0)
    listed = [path for path in files if "weights" not in path.parts]
    write_manifest(
        "s",
        config,
        {"score": "abc"},
        [*listed, results / "slice/test.parquet", Path("weights")],
        Path(".snakemake/metadata"),
        results / "manifest.json",
    )
    return results


def remember(output: Path, rule: str, command: str, started: float) -> None:
    """As Snakemake does after a job."""
    name = base64.urlsafe_b64encode(str(output).encode()).decode()
    record = {"rule": rule, "shellcmd": command, "starttime": started, "endtime": started + 2.5}
    Path(".snakemake/metadata").mkdir(parents=True, exist_ok=True)
    (Path(".snakemake/metadata") / name).write_text(json.dumps(record))
