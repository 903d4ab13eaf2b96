"""Work that is done ahead, in threads, while a model is busy."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def cores() -> int:
    """How many this process may use; all of the machine where the system does not limit that."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prefetch(
    make: Callable[[T], U], items: Iterable[T], ahead: int, threads: int | None = None
) -> Iterator[U]:
    """`make` of every item, in order, with up to `ahead` of them made before they are asked for.

    `items` are drawn in the thread of the caller, whom every exception reaches in its place. It
    gains where `make` leaves the interpreter to others, as Pillow does in decoding and resizing.
    """
    waiting = iter(items)
    made: deque[Future[U]] = deque()
    pool = ThreadPoolExecutor(threads or cores(), "prefetch")
    try:
        made.extend(pool.submit(make, item) for item in islice(waiting, ahead))
        while made:
            yield made.popleft().result()
            made.extend(pool.submit(make, item) for item in islice(waiting, 1))
    finally:
        pool.shutdown(cancel_futures=True)
