"""What survives a killed training run, and what a finished one leaves behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from active_perception_r1.data.files import atomic, sha256_of, write_json
from active_perception_r1.errors import DataError
from active_perception_r1.models.transformers_backend import TransformersBackend
from active_perception_r1.runtime.resume import open_locked


class CheckpointStore:
    """A folder with the latest state of a run (`step-N.pt`) and its metrics so far; it is locked.

    The folder is keyed by whoever names it: a run with other settings must get another folder.

    Raises:
        UserError: another process trains there, such as one that outlived its Snakemake.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.metrics = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = open_locked(folder / "lock")

    def restore(self, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Load the latest state, if any, and return the number of steps it has done.

        Metrics of later steps, whose state was not saved, are dropped: those steps run again.
        """
        saved = self._saved()
        if not saved:
            self.metrics.unlink(missing_ok=True)
            return 0
        state = torch.load(saved[-1], weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step: int = state["step"]
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)[:step]
        with atomic(self.metrics) as part:
            part.write_text("".join(lines), encoding="utf-8")
        return step

    def log(self, row: Mapping[str, float]) -> None:
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def save(self, step: int, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Keep the state after `step`, and only that one."""
        path = self._folder / f"step-{step:06d}.pt"
        state = {"step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict()}
        with atomic(path) as part:
            torch.save(state, part)
        for older in self._saved()[:-1]:
            older.unlink()

    def _saved(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.pt"))


def publish(policy: TransformersBackend, store: CheckpointStore, steps: int, output: Path) -> None:
    """Write the finished run: `output`/checkpoint, loadable by name, and `output`/metrics.jsonl.

    `output`/checkpoint.json names the checkpoint's files with their sha256, so that what depends on
    the checkpoint can depend on its content.

    Raises:
        DataError: the metrics do not show that every step ran, once.
    """
    metrics = store.metrics.read_text(encoding="utf-8")
    done = [json.loads(line)["step"] for line in metrics.splitlines()]
    if done != list(range(1, steps + 1)):
        raise DataError(
            f"{store.metrics}: expected the steps 1 to {steps} once each, found {len(done)};"
            f" delete {store.metrics.parent} to train afresh"
        )
    checkpoint, partial = output / "checkpoint", output / "checkpoint.partial"
    for stale in (checkpoint, partial):
        shutil.rmtree(stale, ignore_errors=True)
    policy.model.save_pretrained(partial)
    policy.processor.save_pretrained(partial)
    partial.rename(checkpoint)
    files = {path.name: sha256_of(path) for path in sorted(checkpoint.iterdir())}
    about = {"steps": steps, "base": policy.settings.id, "base_revision": policy.revision}
    write_json(output / "checkpoint.json", {**about, "files": files})
    with atomic(output / "metrics.jsonl") as part:
        part.write_text(metrics, encoding="utf-8")
