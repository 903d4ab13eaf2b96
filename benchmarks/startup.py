"""How long commands take to begin: python benchmarks/startup.py

`active-perception --help`; and an inference job until it could load its model, beside the bare
imports of torch and the model's class, in turns, each in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import inference
from measuring import Figure, Run, measured, report, spread
from scaling import configured

from active_perception_r1.modes import ACTIVE

REPEATS = 7
CLASS = "Idefics3ForConditionalGeneration"  # Of the model that ships.
BARE = f"import torch; from transformers import {CLASS}"
READY = f"""
import sys
from active_perception_r1.models import load

def ready(settings):
    from active_perception_r1.models.backends import BACKENDS
    BACKENDS["transformers"]
    from transformers import {CLASS}
    sys.exit()

load.load_backend = ready
from active_perception_r1.cli import main
sys.exit(main(sys.argv[1:]) or "it was never ready")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slice_path = inference.draw(folder, 8)
        words = ["infer", "--config", configured(folder, ["m"]), "--study", "s", "--model", "m"]
        words += ["--mode", ACTIVE, "--slice", slice_path, "--output", folder / "out.jsonl"]
        words += ["--partial", folder / "partial.jsonl"]
        helps, bare, ready = [], [], []
        for _ in range(REPEATS):
            helps.append(measured(["active-perception", "--help"]))
            bare.append(measured([sys.executable, "-c", BARE]))
            ready.append(measured([sys.executable, "-c", READY, *words]))
    report("startup", figures(helps, bare, ready))


def figures(helps: list[Run], bare: list[Run], ready: list[Run]) -> list[Figure]:
    """The first run of each warms the files of the disk, and is left out."""
    found = []
    for kind in ("seconds", "cpu"):
        said, imports, job = (
            [getattr(run, kind) for run in runs[1:]] for runs in (helps, bare, ready)
        )
        unit = "s" if kind == "seconds" else "processor s"
        more = [a - b for a, b in zip(job, imports, strict=True)]
        found += [
            spread(f"active-perception --help, {unit}", said, bar="< .3"),
            spread(f"inference ready to load, after bare imports, {unit}", more, bar="<= .3"),
            spread(f"bare imports of torch and the model's class, {unit}", imports),
            spread(f"inference ready to load, {unit}", job),
        ]
    return found


if __name__ == "__main__":
    main()
