"""Work that is done ahead, in threads, while a model is busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def prefetch(
    make: Callable[[T], U], items: Iterable[T], ahead: int, threads: int = 2
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
