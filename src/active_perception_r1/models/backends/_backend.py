"""The interface between episodes and engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from active_perception_r1.config import ModelConfig
from active_perception_r1.sim.messages import Reply, Request

Answered = Iterable[tuple[int, Reply]]
"""Replies with the numbers of their requests."""


class Backend(ABC):
    """An engine with a model loaded.

    Attributes:
        revision: what exactly is loaded: a hub commit, or a fingerprint of a local folder.
        set_aside: what its checkpoint's own `generation_config` asks for, and the entry's
            `decoding` does not; empty where that cannot be known.
        live: episodes that keep it busy.
        first: episodes that it begins with; None for as many.
    """

    revision: str
    set_aside: Mapping[str, Any]
    live: int
    first: int | None = None

    @abstractmethod
    def submit(self, request: Request) -> int:
        """Have a request answered; its number."""

    @abstractmethod
    def collect(self) -> Answered:
        """The replies that are there, at least one, or as they come.

        A request that failed has one with `error`.
        """

    def keep_replies(self, path: Path) -> None:  # noqa: B027  # not every engine can
        """Keep replies in a file as they come, and take from there what was asked for before.

        For engines whose replies cost more than to write them down; others do nothing.
        """

    def set_up(self, settings: ModelConfig) -> None:  # noqa: B027  # most are set up for it
        """Have images of the sizes that an entry of the same model says, from now on."""

    def close(self) -> None:  # noqa: B027  # most have nothing to end
        """End it; what is under way and would be lost is waited for and kept."""

    def generate(self, requests: Sequence[Request]) -> Sequence[Reply]:
        """One reply per request, in order."""
        numbers = [self.submit(request) for request in requests]
        replies: dict[int, Reply] = {}
        while len(replies) < len(numbers):
            replies.update(self.collect())
        return [replies[number] for number in numbers]


class BatchBackend(Backend):
    """An engine that answers many requests in one call, and none before all of them."""

    def __init__(self) -> None:
        self._numbers = count()
        self._asked: dict[int, Request] = {}

    def submit(self, request: Request) -> int:
        number = next(self._numbers)
        self._asked[number] = request
        return number

    def collect(self) -> Answered:
        asked, self._asked = self._asked, {}
        numbers = list(asked)
        for place, reply in self.replies(list(asked.values())):
            yield numbers[place], reply

    def replies(self, requests: Sequence[Request]) -> Iterable[tuple[int, Reply]]:
        """Each with the place of its request; for engines that have some before the others."""
        return zip(range(len(requests)), self.generate(requests), strict=True)

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Sequence[Reply]:
        """One reply per request, in order."""
