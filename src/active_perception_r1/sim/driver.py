"""Episodes driven to their end, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import Reply

Generate = Callable[[Sequence[LiveEpisode]], Sequence[Reply]]


class Engine(Protocol):
    """What answers the requests of episodes, in the order that suits it."""

    def submit(self, episode: LiveEpisode) -> None:
        """Have its request answered."""

    def collect(self) -> Sequence[tuple[LiveEpisode, Reply]]:
        """The replies that are there; waits for the first of those asked for."""


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
    episodes: Iterable[LiveEpisode], engine: Engine, live: int
) -> Iterator[LiveEpisode]:
    """Drive episodes to their end, `live` at a time; yields each when it is finished.

    An episode goes on as soon as its reply is there, and waits for no other. The next ones are
    drawn from `episodes` as places become free, which keeps memory flat in the number of samples.
    """
    waiting = iter(episodes)
    asked, all_drawn = 0, False
    while asked or not all_drawn:
        while asked < live and not all_drawn:
            episode = next(waiting, None)
            if episode is None:
                all_drawn = True
            elif episode.finished:
                yield episode
            else:
                engine.submit(episode)
                asked += 1
        for episode, reply in engine.collect() if asked else ():
            episode.receive(reply)
            if episode.finished:
                asked -= 1
                yield episode
            else:
                engine.submit(episode)
