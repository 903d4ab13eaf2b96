"""A model that runs episodes in one mode, in this process or in several beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from PIL import Image

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.distractors import with_distractors
from active_perception_r1.data.samples import read_slice
from active_perception_r1.envs.kept_page import KeptPage
from active_perception_r1.errors import DataError
from active_perception_r1.models.backends import Backend
from active_perception_r1.models.load import load_backend
from active_perception_r1.modes import CropSizes, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample, ToolStatus
from active_perception_r1.sim.driver import run_episodes
from active_perception_r1.sim.live_reinjection import EpisodeRules, LiveEpisode
from active_perception_r1.sim.messages import Reply
from active_perception_r1.sim.prefetch import prefetch
from active_perception_r1.tasks import DEFAULT_TASK


def unseen(replies: int) -> None:
    """For a run whose progress nobody watches."""


class EpisodeRunner(Protocol):
    """What runs the episodes of a slice.

    Attributes:
        revision, set_aside: of the model, as `Backend` has them.
        loads: how many times the model was loaded for it.
    """

    revision: str
    set_aside: Mapping[str, Any]
    loads: int

    def run(
        self,
        slice_path: Path,
        wanted: Sequence[str],
        replied: Callable[[int], None] = unseen,
        earlier: Mapping[str, CropSizes] | None = None,
    ) -> Iterator[Episode]:
        """Finished episodes of the samples with these ids, in the order of their ends.

        Args:
            replied: told of every so many replies that have come.
            earlier: by sample, the crops that were shown in the mode that this one goes by.

        Raises:
            DataError: the slice cannot be read, or has no second page for shuffled crops.
        """


class BackendRunner:
    """EpisodeRunner with an engine of its own; a context manager that ends it.

    Args:
        replies: where the engine may keep replies beyond the life of this process.
        backend: its engine, if that is there already, set up for the mode.

    Raises:
        BackendError: the model cannot be loaded.
    """

    loads = 1

    def __init__(
        self,
        name: str,
        settings: ModelConfig,
        mode: str,
        task: str = DEFAULT_TASK,
        replies: Path | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._backend = backend or load_backend(settings.showing(mode))
        if replies is not None:
            self._backend.keep_replies(replies)
        self.revision = self._backend.revision
        self.set_aside = self._backend.set_aside
        self._name = name
        self._settings = settings
        self._rules: EpisodeRules = episode_rules(mode, settings, task)

    def run(
        self,
        slice_path: Path,
        wanted: Sequence[str],
        replied: Callable[[int], None] = unseen,
        earlier: Mapping[str, CropSizes] | None = None,
    ) -> Iterator[Episode]:
        """As `EpisodeRunner.run`."""
        ids = frozenset(wanted)
        pairs = (pair for pair in self._pairs(slice_path) if pair[0].id in ids)
        live, engine = self._backend.live, _Answers(self._backend, replied)
        start = partial(self._start, earlier=earlier or {})
        episodes = prefetch(start, pairs, ahead=max(1, live // 2))
        for episode in run_episodes(episodes, engine, live, self._backend.first):
            yield episode.record(self._name, self.revision, self._settings.seed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._backend.close()

    def _pairs(self, slice_path: Path) -> Iterator[tuple[Sample, Sample | None]]:
        """The samples, each with a distractor where the mode needs one."""
        samples = read_slice(slice_path)
        if self._rules.needs_distractor:
            return with_distractors(samples)
        return ((sample, None) for sample in samples)

    def _start(
        self, pair: tuple[Sample, Sample | None], earlier: Mapping[str, CropSizes]
    ) -> LiveEpisode:
        sample, distractor = pair
        try:
            return start_episode(sample, self._rules, distractor, earlier.get(sample.id, ()))
        except DataError as error:
            nothing = Image.new("RGB", (1, 1))
            page = KeptPage(nothing)
            episode = LiveEpisode(sample.id, sample.question, page, (nothing,), self._rules, page)
            episode.abandon(ToolStatus.DATA_ERROR, str(error))
            return episode


class _Answers:
    """A backend as the engine of episodes."""

    def __init__(self, backend: Backend, replied: Callable[[int], None]) -> None:
        self._backend = backend
        self._replied = replied
        self._asking: dict[int, LiveEpisode] = {}

    def submit(self, episode: LiveEpisode) -> None:
        self._asking[self._backend.submit(episode.request)] = episode

    def collect(self) -> Iterator[tuple[LiveEpisode, Reply]]:
        for number, reply in self._backend.collect():
            self._replied(1)
            yield self._asking.pop(number), reply
