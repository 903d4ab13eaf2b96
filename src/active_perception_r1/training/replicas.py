"""Processes that train one policy together, each by its share of the questions of a step.

Every one has a copy of the policy and of its optimiser. Their gradients are added up by
`torch.distributed` (gloo) before the optimiser steps, so that the copies stay equal to the last
bit. The steps of a small model are too short to be shared out over cores, and Python prepares one
at a time: two processes with a core each do more than one with two.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import distributed

from active_perception_r1.errors import TrainingError, UserError
from active_perception_r1.runtime.workers import workers

T = TypeVar("T")

_PATIENCE = timedelta(days=1)  # A process that is gone is noticed at once, by its connections.
_END_SECONDS = 10.0  # For one that lost the others to say why.


class _LostError(TrainingError):
    """Another process is gone."""


class Replicas:
    """The processes of a run, seen from one of them. Alone, it is given back what it gives.

    What is asked of several, each of them must ask.

    Args:
        rank: which of them this one is, from 0.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """What this process has to do of all there is; shares follow each other.

        >>> [Replicas(rank, 3).share("abcde") for rank in range(3)]
        ['a', 'bc', 'de']
        """
        first, end = (place * len(items) // self.count for place in (self.rank, self.rank + 1))
        return items[first:end]

    def sums(self, *values: float) -> list[float]:
        """Each added up over the processes."""
        if self.count == 1:
            return list(values)
        return _added(torch.tensor(values, dtype=torch.float64)).tolist()

    def add_gradients(self, weights: Iterable[torch.nn.Parameter]) -> None:
        """Give every process the sum of all gradients, of weights for which anyone has one."""
        if self.count == 1:
            return
        every = list(weights)
        having = self.sums(*(weight.grad is not None for weight in every))
        learning = [weight for weight, some in zip(every, having, strict=True) if some]
        if not learning:
            return
        grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in learning]
        added = _added(torch.cat([grad.flatten() for grad in grads]))
        parts = torch.split(added, [weight.numel() for weight in learning])
        for weight, grad in zip(learning, parts, strict=True):
            weight.grad = grad.view_as(weight)

    def gather(self, value: T) -> list[T]:
        """What each process has, in the order of their ranks."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        with _connected():
            distributed.all_gather_object(found, value)
        return found

    def from_first(self, value: T) -> T:
        """What the process of rank 0 has."""
        if self.count == 1:
            return value
        found: list[Any] = [value]
        with _connected():
            distributed.broadcast_object_list(found, src=0)
        return found[0]  # type: ignore[no-any-return]


def _added(values: torch.Tensor) -> torch.Tensor:
    with _connected():
        distributed.all_reduce(values)
    return values


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _LostError(f"another process of the run is gone: {error}") from error


@contextmanager
def replicas(count: int, work: Callable[..., None], *given: object) -> Iterator[Replicas]:
    """This process as the first of `count`; the others run `work(replicas, *given)` meanwhile.

    They end with the block, or with this process.

    Raises:
        UserError: another process has failed.
    """
    if count == 1:
        yield Replicas()
        return
    with TemporaryDirectory(prefix="replicas-") as folder:
        meeting = f"file://{folder}/meeting"
        about = [(rank, count, meeting, work, given) for rank in range(1, count)]
        with workers(_work, about) as others:
            for connection, process in others.items():
                _raise_failure(connection, process)  # or go on, now that it is there
            try:
                with _joined(0, count, meeting) as first:
                    yield first
            except _LostError:
                ended = wait(list(others), _END_SECONDS)
                for connection, process in others.items():
                    if connection in ended:
                        _raise_failure(connection, process)
                raise


def _raise_failure(connection: Connection, process: BaseProcess) -> None:
    """What a process says next, if it is an error; raises one, too, if it can say nothing more."""
    try:
        said = connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        said = TrainingError(
            f"a process of the run ended with exit code {process.exitcode}, for want of memory"
            " perhaps; the states that were saved are kept, run again to go on"
        )
    if said is not None:
        raise said


@contextmanager
def _joined(rank: int, count: int, meeting: str) -> Iterator[Replicas]:
    """A part of the group, with a part of the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // count))
    with _connected():
        distributed.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=count, timeout=_PATIENCE
        )
    try:
        yield Replicas(rank, count)
    finally:
        distributed.destroy_process_group()
        torch.set_num_threads(threads)


def _work(
    connection: Connection,
    rank: int,
    count: int,
    meeting: str,
    work: Callable[..., None],
    given: tuple[object, ...],
) -> None:
    try:
        connection.send(None)  # the others may wait at the meeting
        with _joined(rank, count, meeting) as own:
            work(own, *given)
    except _LostError:
        pass  # That one says why.
    except UserError as error:
        connection.send(error)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        told = " ".join(f"{type(error).__name__}: {error}".split())
        connection.send(TrainingError(f"process {rank + 1} of {count} of the run failed: {told}"))
