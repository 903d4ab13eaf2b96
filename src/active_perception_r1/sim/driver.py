"""Episodes driven to their end, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """Drive episodes to their end, `live` (at least one) at a time; yields each as it finishes.

    An episode goes on as soon as its reply is there, and waits for no other. The next ones are
    drawn from `episodes` as places become free, which keeps memory flat in the number of samples.
    Replies are read and crops cut in threads, beside each other and beside an engine that still
    works on other replies; what an engine is asked, and in which order, does not depend on them.

    Args:
        first: with so many it begins, while the pages of the others are opened.
    """
    waiting = iter(episodes)
    asking: dict[LiveEpisode, None] = {}  # a set in order
    live = max(live, 1)
    places, all_drawn = first or live, False
    with ThreadPoolExecutor(cores(), "receive") as pool:
        while asking or not all_drawn:
            while len(asking) < places and not all_drawn:
                episode = next(waiting, None)
                if episode is None:
                    all_drawn = True
                elif episode.finished:
                    yield episode
                else:
                    engine.submit(episode)
                    asking[episode] = None
            places = live
            answered = engine.collect() if asking else ()
            told = {episode: pool.submit(episode.receive, reply) for episode, reply in answered}
            for episode in [one for one in asking if one in told]:
                told[episode].result()
                del asking[episode]
                if episode.finished:
                    yield episode
                else:
                    engine.submit(episode)
                    asking[episode] = None
