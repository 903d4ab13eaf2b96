"""Stage `infer`: one model, one mode, one slice; one line per episode, in slice order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from active_perception_r1.data.decoys import with_decoys
from active_perception_r1.data.samples import read_slice, slice_length
from active_perception_r1.errors import BackendError, DataError
from active_perception_r1.models.base import Backend
from active_perception_r1.models.load import load_backend
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Episode, Mode, Sample, ToolStatus
from active_perception_r1.runtime.resume import ResumeStore
from active_perception_r1.sim.live_reinjection import EpisodeRules, LiveEpisode, run_episodes
from active_perception_r1.sim.messages import Reply

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig

MAX_ERROR_SHARE = 0.05  # More infrastructure errors than this fail the stage.
PASSES = 2  # Episodes that ended in an infrastructure error are played once more.


def infer(
    slice_path: Path, name: str, settings: ModelConfig, mode: Mode, output: Path, partial: Path
) -> None:
    """Play every sample of a slice and write the predictions.

    Finished episodes are kept in `partial` as they come, so that a killed run resumes. Episodes
    that end in an infrastructure error are not kept there: they are played again.

    Raises:
        BackendError: the model cannot be loaded, or more than MAX_ERROR_SHARE of the episodes
            failed; the good ones stay in `partial`.
        DataError: the slice cannot be read, or has no second page for shuffled crops.
    """
    backend = load_backend(settings)
    player = _Player(backend, name, settings, mode)
    key = _resume_key(slice_path, settings, mode, backend.revision)
    failed: dict[str, Episode] = {}
    with ResumeStore(partial, key) as store:
        total = slice_length(slice_path)
        with tqdm(total=total, desc=f"{name} {mode}", unit="episode", initial=len(store)) as bar:
            for _ in range(PASSES):
                failed = {}
                waiting = (pair for pair in player.pairs(slice_path) if pair[0].id not in store)
                for episode in player.play(waiting):
                    if episode.tool_status is ToolStatus.BACKEND_ERROR:
                        failed[episode.sample_id] = episode
                    else:
                        store.append(episode.sample_id, episode.to_json())
                        bar.update()
                if not failed:
                    break
        if len(failed) > MAX_ERROR_SHARE * total:
            sample, first = next(iter(failed.items()))
            raise BackendError(
                f"{len(failed)} of {total} episodes of {name} in mode {mode} failed, for example"
                f" sample {sample}: {first.error}. The others are kept: run again to retry."
            )
        errors = {sample: episode.to_json() for sample, episode in failed.items()}
        store.finish(output, (sample.id for sample in read_slice(slice_path)), errors)


class _Player:
    """Turns samples into finished episodes of one model in one mode."""

    def __init__(self, backend: Backend, name: str, settings: ModelConfig, mode: Mode) -> None:
        self._backend = backend
        self._name = name
        self._settings = settings
        self._mode = mode
        self._rules: EpisodeRules = episode_rules(mode, settings)

    def pairs(self, slice_path: Path) -> Iterator[tuple[Sample, Sample | None]]:
        """The samples, each with a decoy where the mode needs one."""
        samples = read_slice(slice_path)
        if self._mode is Mode.SHUFFLED_CROP:
            return with_decoys(samples)
        return ((sample, None) for sample in samples)

    def play(self, pairs: Iterator[tuple[Sample, Sample | None]]) -> Iterator[Episode]:
        """Finished episodes, as they come."""
        episodes = (self._start(sample, decoy) for sample, decoy in pairs)
        for wave in run_episodes(episodes, self._generate, self._settings.live_episodes):
            for episode in wave:
                yield episode.record(self._name, self._backend.revision, self._settings.seed)

    def _generate(self, episodes: Sequence[LiveEpisode]) -> Sequence[Reply]:
        return self._backend.generate([episode.request for episode in episodes])

    def _start(self, sample: Sample, decoy: Sample | None) -> LiveEpisode:
        try:
            return start_episode(sample, self._mode, self._rules, decoy)
        except DataError as error:
            raise DataError(f"sample {sample.id}: {error}") from None


def _resume_key(slice_path: Path, settings: ModelConfig, mode: Mode, revision: str) -> str:
    """What must be equal for an episode of an earlier run to be kept."""
    digest = hashlib.sha256(slice_path.read_bytes())
    digest.update(f"\0{settings.model_dump_json()}\0{mode}\0{revision}".encode())
    return digest.hexdigest()
