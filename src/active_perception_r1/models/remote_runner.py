"""Episodes that other processes run, over connections to them: both ends of what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from active_perception_r1.errors import BackendError, UserError
from active_perception_r1.models.runner import BackendRunner, unseen
from active_perception_r1.modes import CropSizes
from active_perception_r1.records import Episode

GONE = (EOFError, ConnectionError)
"""What is raised where the other end of a connection is gone."""


class ProcessGoneError(BackendError):
    """It ended before it had done what it was asked."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a process says first: `EpisodeRunner`'s attributes, `loads` being its own part."""

    revision: str
    set_aside: Mapping[str, Any]
    loads: int


class RemoteRunner:
    """An EpisodeRunner whose samples several processes share.

    Args:
        connections: to processes that `serve`, each with a function that says how it ended.

    Raises:
        BackendError: the model cannot be loaded.
        ProcessGoneError: a process is gone.
    """

    def __init__(self, connections: Mapping[Connection, Callable[[], str]]) -> None:
        self._connections = connections
        known: list[Hello] = [self._receive(connection) for connection in connections]
        self.revision, self.set_aside = known[0].revision, known[0].set_aside
        assert all(
            (one.revision, one.set_aside) == (self.revision, self.set_aside) for one in known
        )
        self.loads = sum(one.loads for one in known)

    def run(
        self,
        slice_path: Path,
        wanted: Sequence[str],
        replied: Callable[[int], None] = unseen,
        earlier: Mapping[str, CropSizes] | None = None,
    ) -> Iterator[Episode]:
        """As `EpisodeRunner.run`.

        Raises:
            ProcessGoneError: a process is gone, killed for want of memory perhaps.
        """
        slice_path, count = slice_path.absolute(), len(self._connections)
        for first, connection in enumerate(self._connections):
            with self._alive(connection):
                connection.send((slice_path, wanted[first::count], earlier))
        running = set(self._connections)
        while running:
            for connection in running.intersection(wait(list(running))):
                episode = self._receive(connection)
                if episode is None:
                    running.remove(connection)
                else:
                    replied(len(episode.turns))
                    yield episode

    def end(self) -> None:
        """Tell the processes that nothing more will be asked, and wait until they know."""
        for connection in self._connections:
            with self._alive(connection):
                connection.send(None)
                while connection.recv() is not None:
                    pass

    def _receive(self, connection: Connection) -> Any:
        with self._alive(connection):
            message = connection.recv()
        if isinstance(message, UserError):
            raise message
        return message

    @contextmanager
    def _alive(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except GONE:
            raise ProcessGoneError(
                f"a process that ran episodes ended{self._connections[connection]()}; what was"
                " finished is kept, run again to go on"
            ) from None


def serve(connection: Connection, start: Callable[[], BackendRunner], loads: int = 1) -> None:
    """Say what the model is; then, for each slice, the episodes and None, until told to end.

    Args:
        start: has the model ready; an error of the user's that it raises is said in its place.
    """
    try:
        runner = start()
        connection.send(Hello(runner.revision, dict(runner.set_aside), loads))
        while (asked := connection.recv()) is not None:
            slice_path, wanted, earlier = asked
            for episode in runner.run(slice_path, wanted, earlier=earlier):
                connection.send(episode)
            connection.send(None)
    except UserError as error:
        connection.send(error)
