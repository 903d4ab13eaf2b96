"""Metrics of a run for TensorBoard, which is needed only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from active_perception_r1.errors import TrainingError


@contextmanager
def board(
    wanted: bool, folder: Path, done: int
) -> Iterator[Callable[[Mapping[str, float | None]], None]]:
    """What a step's metrics are given to; it does nothing unless it is wanted.

    Args:
        done: steps of the run before; what a killed run logged of later ones is not shown.

    Raises:
        TrainingError: TensorBoard is not installed.
    """
    if not wanted:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            f"tensorboard: true needs a package ({error}); pip install tensorboard, or set it to"
            " false"
        ) from None
    writer = SummaryWriter(str(folder), purge_step=done + 1)

    def log(row: Mapping[str, float | None]) -> None:
        for name, value in row.items():
            if name != "step" and value is not None:
                writer.add_scalar(f"train/{name}", value, row["step"])

    try:
        yield log
    finally:
        writer.close()
