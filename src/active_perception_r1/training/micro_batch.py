"""How many conversations an update takes at once, in the memory that there is."""

from __future__ import annotations

import sys
from typing import Any

import torch

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.errors import TrainingError
from active_perception_r1.runtime.memory import free_memory
from active_perception_r1.training.footprint import GIB, Shape, on_gpu, shape_of
from active_perception_r1.training.freezing import LORA_RANK

_CONTEXT = GIB  # bytes that CUDA and its libraries take for themselves


def micro_batch(name: str, run: LocalTraining, base: ModelConfig) -> int:
    """Conversations at once in an update: as configured, else as many as fit. Says what it needs.

    Several processes have a share of the memory each.

    Raises:
        TrainingError: not even one fits; with what would make it fit.
    """
    shape, room = shape_of(run, base), _room(base) // run.processes
    sizes = [run.micro_batch] if run.micro_batch else _halved(base.batch_size)
    chosen = next((size for size in sizes if shape.peak(size, 1) <= room), None)
    if chosen is None:
        raise TrainingError(
            f"training.{name}: needs {shape.peak(sizes[-1], 1) / GIB:.1f} GiB of memory, and"
            f" {room / GIB:.1f} are free; {_cure(run, base, shape, room)}"
        )
    print(
        f"{name}: {shape.peak(chosen, base.batch_size) / GIB:.1f} GiB of memory computed,"
        f" {room / GIB:.1f} free: {shape.standing / GIB:.1f} for weights and optimiser,"
        f" {shape.update(chosen) / GIB:.1f} for updates of {chosen},"
        f" {shape.rollout(base.batch_size) / GIB:.1f} for rollouts of {base.batch_size}",
        file=sys.stderr,
    )
    return chosen


def _cure(run: TrainingConfig, base: ModelConfig, shape: Shape, room: int) -> str:
    """Keys of the run or of its base that make it fit, the least change first."""
    changes: dict[str, Any] = {}
    steps: list[tuple[str, Any, bool]] = [
        ("micro_batch", 1, run.micro_batch not in (None, 1)),
        ("gradient_checkpointing", True, not shape.recomputes),
        ("kl", 0, shape.reference),
        ("lora_rank", LORA_RANK, not shape.adapted),
    ]
    for key, value, helps in steps:
        if helps:
            changes[key] = value
            changed = shape_of(run.model_copy(update=changes), base)
            if changed.peak(1, 1) <= room:
                return "set " + ", ".join(f"{k} to {str(v).lower()}" for k, v in changes.items())
    tried = "".join(f"{key}: {str(value).lower()}, " for key, value in changes.items())
    precision = "dtype: bfloat16, " if shape.stored > 2 else ""
    return (
        f"take a larger GPU or a smaller base, or besides {tried}{precision}lower"
        " first_view.max_pixels, crop.max_pixels, max_zooms or max_new_tokens of the base"
    )


def _room(base: ModelConfig) -> int:
    """Bytes that this process may still take where the model will be."""
    if not on_gpu(base):
        return free_memory()
    devices = range(torch.cuda.device_count() if base.device_map else 1)
    return sum(map(_room_on, devices))


def _room_on(device: int) -> int:
    free, total = torch.cuda.mem_get_info(device)
    allowed = int(torch.cuda.get_per_process_memory_fraction(device) * total)
    return min(free, allowed) - _CONTEXT


def _halved(size: int) -> list[int]:
    """It, half of it, and so on down to 1."""
    sizes = [size]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return sizes
