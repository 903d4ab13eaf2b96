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

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That this process may use; macOS does not tell, and has all."""


def prefetch(
    make: Callable[[T], U], items: Iterable[T], ahead: int, threads: int = CORES
) -> Iterator[U]:
    """`make` of every item, in order, with up to `ahead` of them made before they are asked for.

    `items` are drawn in the thread of the caller, whom every exception reaches in its place. It
    gains where `make` leaves the interpreter to others, as Pillow does in decoding and resizing.
    """
    waiting = iter(items)
    made: deque[Future[U]] = deque()
    pool = ThreadPoolExecutor(threads, "prefetch")
    try:
        made.extend(pool.submit(make, item) for item in islice(waiting, ahead))
        while made:
            yield made.popleft().result()
            made.extend(pool.submit(make, item) for item in islice(waiting, 1))
    finally:
        pool.shutdown(cancel_futures=True)
