"""What survives a killed training run, and what a finished one leaves behind."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from active_perception_r1.config import TrainingConfig
from active_perception_r1.errors import DataError
from active_perception_r1.storage.files import atomic, named, sha256_of, write_json
from active_perception_r1.storage.journal import open_locked
from active_perception_r1.training.model_card import model_card

Weights: TypeAlias = Mapping[str, torch.Tensor]
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

    def values(self, name: str) -> list[float]:
        """Those of a metric, of every step."""
        return [json.loads(line)[name] for line in self._lines()]

    def rewind(self, step: int) -> None:
        """Drop what comes after `step`: those steps run again."""
        with atomic(self.path) as part:
            part.write_text("".join(self._lines()[:step]), encoding="utf-8")

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]


class EpisodeLog:
    """Episodes of a run so far: a compressed file of JSON lines for each step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep those of a step, in the place of what there may be of it."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with atomic(self._path(step)) as part:
            part.write_bytes(gzip.compress(text.encode(), mtime=0))

    def rewind(self, step: int) -> None:
        """Drop what comes after `step`: those steps run again."""
        for path in self._folder.glob("*.jsonl.gz"):
            if path > self._path(step):
                path.unlink()

    def publish(self, output: Path) -> None:
        """Write all of them as one file; gzip's files may follow each other (RFC 1952)."""
        with atomic(output) as part, part.open("wb") as file:
            for path in sorted(self._folder.glob("*.jsonl.gz")):
                file.write(path.read_bytes())

    def _path(self, step: int) -> Path:
        return self._folder / f"{step:06d}.jsonl.gz"


class CheckpointStore:
    """A folder with the latest state of a run (`step-N.pt`), and what it has told so far; locked.

    What is drawn in a step depends on the seed and the step alone, so that no state of a random
    generator is kept. The folder is keyed by whoever names it: a run with other settings must get
    another folder.

    Raises:
        UserError: another process trains there, such as one that outlived its Snakemake.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.metrics = MetricsLog(folder / "metrics.jsonl")
        self.episodes = EpisodeLog(folder / "episodes")
        self._lock = open_locked(folder / "lock")

    def restore(self, weights: Weights, optimiser: torch.optim.Optimizer) -> int:
        """Load the latest state, if any, and return the number of steps it has done.

        What was told of later steps, whose state was not saved, is dropped: those steps run again.
        """
        saved = self._saved()
        step = 0
        if saved:
            state = _load(saved[-1], weights)
            optimiser.load_state_dict(state["optimiser"])
            step = state["step"]
        self.metrics.rewind(step)
        self.episodes.rewind(step)
        return step

    def save(self, step: int, weights: Weights, optimiser: torch.optim.Optimizer) -> None:
        """Keep the state after `step`, and only that one."""
        path = self._folder / f"step-{step:06d}.pt"
        _save({"step": step, "weights": weights, "optimiser": optimiser.state_dict()}, path)
        for older in self._saved()[:-1]:
            older.unlink()

    def keep_if_best(self, step: int, score: float, weights: Weights) -> None:
        """Keep these weights besides, unless those of an earlier step have a higher score."""
        if self._best.exists():
            best = torch.load(self._best, weights_only=True, mmap=True)
            # A resumed run comes by its best step again.
            if best["step"] < step and best["score"] >= score:
                return
        _save({"step": step, "score": score, "weights": weights}, self._best)

    def restore_best(self, weights: Weights) -> int:
        """Load the weights of the best step, and return which that is."""
        step: int = _load(self._best, weights)["step"]
        return step

    @property
    def _best(self) -> Path:
        return self._folder / "best.pt"

    def _saved(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.pt"))


def _save(state: dict[str, Any], path: Path) -> None:
    weights = {name: value.detach() for name, value in state["weights"].items()}
    with atomic(path) as part, _room_for(path):
        torch.save({**state, "weights": weights}, part)


def _load(path: Path, weights: Weights) -> dict[str, Any]:
    """A saved state, after its weights were put in the place of those given."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    set_weights(weights, state["weights"])
    return state


@torch.no_grad()
def set_weights(weights: Weights, values: Weights) -> None:
    """Give the weights other values, by name."""
    for name, value in weights.items():
        value.copy_(values[name])


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
