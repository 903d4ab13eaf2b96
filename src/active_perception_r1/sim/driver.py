"""Episodes driven to their end, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import Reply
from active_perception_r1.sim.prefetch import cores

Generate = Callable[[Sequence[LiveEpisode]], Sequence[Reply]]


class Engine(Protocol):
    """What answers the requests of episodes, in the order that suits it."""

    def submit(self, episode: LiveEpisode) -> None:
        """Have its request answered."""

    def collect(self) -> Iterable[tuple[LiveEpisode, Reply]]:
        """The replies that are there, or as they come; waits for the first of those asked for."""


class Batches:
    """An engine that answers together whatever it was asked since the last time."""

    def __init__(self, generate: Generate) -> None:
        """`generate` gives one reply per episode, to its request, in order."""
        self._generate = generate
        self._asking: list[LiveEpisode] = []

    def submit(self, episode: LiveEpisode) -> None:
        self._asking.append(episode)

    def collect(self) -> Sequence[tuple[LiveEpisode, Reply]]:
        asking, self._asking = self._asking, []
        return list(zip(asking, self._generate(asking), strict=True))


def run_episodes(
    episodes: Iterable[LiveEpisode], engine: Engine, live: int, first: int | None = None
) -> Iterator[LiveEpisode]:
    """Drive episodes to their end, `live` at a time; yields each when it is finished.

    An episode goes on as soon as its reply is read, and waits for no other. The next ones are
    drawn from `episodes` as places become free, which keeps memory flat in the number of samples.
    Replies are read and crops cut in threads, beside each other and beside an engine that still
    works on other replies; what an engine is asked, and in which order, does not depend on them.

    Args:
        first: how many an engine answers together that answers in batches. With so many it begins,
            and as many join whenever replies have come, while the pages of others are opened. So
            many replies, the last ones that came, are read beside the next batches.
    """
    waiting = iter(episodes)
    asking: dict[LiveEpisode, None] = {}  # a set in order
    reading: dict[LiveEpisode, Future[None]] = {}
    places, all_drawn = first or live, False

    def go_on(told: Mapping[LiveEpisode, Future[None]]) -> Iterator[LiveEpisode]:
        """With those that are finished; the others ask again."""
        for episode, read in told.items():
            read.result()
            if episode.finished:
                yield episode
            else:
                engine.submit(episode)
                asking[episode] = None

    with ThreadPoolExecutor(cores(), "receive") as pool:
        while asking or reading or not all_drawn:
            while len(asking) + len(reading) < places and not all_drawn:
                episode = next(waiting, None)
                if episode is None:
                    all_drawn = True
                elif episode.finished:
                    yield episode
                else:
                    engine.submit(episode)
                    asking[episode] = None
            if reading and len(asking) < (first or 1):  # too few for a batch beside them
                yield from go_on(reading)
                reading = {}
                continue
            places = min(live, places + (first or live))
            answered = engine.collect() if asking else ()
            came = {episode: pool.submit(episode.receive, reply) for episode, reply in answered}
            told = {episode: came[episode] for episode in asking if episode in came}
            last = frozenset(list(came)[-first:] if first else ())
            for episode in told:
                del asking[episode]
            yield from go_on(reading)
            yield from go_on({e: read for e, read in told.items() if e not in last})
            reading = {e: read for e, read in told.items() if e in last}
