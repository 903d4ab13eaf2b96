"""What survives a killed training run, and what a finished one leaves behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from active_perception_r1.config import TrainingConfig
from active_perception_r1.errors import DataError
from active_perception_r1.storage.files import atomic, named, sha256_of, write_json
from active_perception_r1.storage.journal import open_locked
from active_perception_r1.training.model_card import model_card

_FULL = 1 << 20  # Bytes; with less left a failed write needs no other reason.


class MetricsLog:
    """Metrics of a run so far: JSON lines, one for each step from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, row: Mapping[str, float | None]) -> None:
        line = json.dumps(row) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise named(error, self.path) from None

    def steps(self) -> int:
        """How many steps there are whole lines of."""
        return len(self._lines())

    def rewind(self, step: int) -> None:
        """Drop what comes after `step`: those steps run again."""
        with atomic(self.path) as part:
            part.write_text("".join(self._lines()[:step]), encoding="utf-8")

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]


class CheckpointStore:
    """A folder with the latest state of a run (`step-N.pt`) and its metrics so far; it is locked.

    The folder is keyed by whoever names it: a run with other settings must get another folder.

    Raises:
        UserError: another process trains there, such as one that outlived its Snakemake.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.metrics = MetricsLog(folder / "metrics.jsonl")
        self._lock = open_locked(folder / "lock")

    def restore(self, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Load the latest state, if any, and return the number of steps it has done.

        Metrics of later steps, whose state was not saved, are dropped: those steps run again.
        """
        saved = self._saved()
        if not saved:
            self.metrics.rewind(0)
            return 0
        state = torch.load(saved[-1], weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step: int = state["step"]
        self.metrics.rewind(step)
        return step

    def save(self, step: int, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Keep the state after `step`, and only that one."""
        path = self._folder / f"step-{step:06d}.pt"
        state = {"step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict()}
        with atomic(path) as part, _room_for(path):
            torch.save(state, part)
        for older in self._saved()[:-1]:
            older.unlink()

    def _saved(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.pt"))


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Torch and safetensors do not tell a full disk from a bug in their own words; this does."""
    try:
        yield
    except Exception:
        if shutil.disk_usage(path.parent).free >= _FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a checkpoint comes from; `base_revision` is a hub commit or a fingerprint."""

    name: str
    run: TrainingConfig
    base: str
    base_revision: str
    data: Path


def publish(
    save: Callable[[Path], None], trained: Trained, metrics: MetricsLog, output: Path
) -> None:
    """Write the finished run: `output`/checkpoint, loadable by name, and `output`/metrics.jsonl.

    `output`/checkpoint.json names the checkpoint's files with their sha256, so that what depends on
    the checkpoint can depend on its content.

    Args:
        save: writes model and processor into a folder.

    Raises:
        DataError: the metrics do not show that every step ran, once.
    """
    text = metrics.path.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    steps = trained.run.steps
    if [row["step"] for row in rows] != list(range(1, steps + 1)):
        raise DataError(
            f"{metrics.path}: expected the steps 1 to {steps} once each, found {len(rows)};"
            f" delete {metrics.path.parent} to train afresh"
        )
    checkpoint, partial = output / "checkpoint", output / "checkpoint.partial"
    for stale in (checkpoint, partial):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir(parents=True)
    with _room_for(checkpoint):
        save(partial)
    about = {
        "steps": steps,
        "base": trained.base,
        "base_revision": trained.base_revision,
        "engine": trained.run.engine,
        "data_sha256": sha256_of(trained.data),
    }
    card = model_card(trained.name, trained.run, about, rows[-1])
    (partial / "README.md").write_text(card, encoding="utf-8")
    partial.rename(checkpoint)
    files = {path.name: sha256_of(path) for path in sorted(checkpoint.iterdir())}
    write_json(output / "checkpoint.json", {**about, "files": files})
    with atomic(output / "metrics.jsonl") as part:
        part.write_text(text, encoding="utf-8")
