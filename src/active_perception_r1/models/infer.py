"""Stage `infer`: one model, one mode, one slice; one line per episode, in slice order."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Never

from PIL import Image
from tqdm import tqdm

from active_perception_r1.data.decoys import with_decoys
from active_perception_r1.data.files import sha256_of, write_json
from active_perception_r1.data.samples import read_slice, slice_length
from active_perception_r1.errors import BackendError, DataError
from active_perception_r1.models.base import Backend
from active_perception_r1.models.dependence import inference_code, inference_settings
from active_perception_r1.models.load import load_backend
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Episode, Mode, Sample, ToolStatus
from active_perception_r1.runtime.fingerprint import fingerprint
from active_perception_r1.runtime.resume import ResumeStore, ask_for_retry
from active_perception_r1.sim.live_reinjection import EpisodeRules, LiveEpisode, run_episodes
from active_perception_r1.sim.messages import Reply
from active_perception_r1.sim.prefetch import prefetch

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig

MIN_STREAK = 16  # So many failures in a row mean that the engine is gone, whatever the batch.
_RUN_AGAIN = "what was finished is kept, run again to go on"
PASSES = 2  # Episodes that ended in an engine's error are played once more.


def infer(
    slice_path: Path, name: str, settings: ModelConfig, mode: Mode, output: Path, partial: Path
) -> None:
    """Play every sample of a slice; write the predictions, and beside them what made them.

    Finished episodes are kept in `partial` as they come, so that a killed run resumes. A sample
    that cannot be played is recorded as a data error. Where episodes still end in an error of the
    engine after PASSES, they are written down as such, the others stay in `partial`, and
    `runtime.resume.retry_file` changes, by which the pipeline knows to run this again; scoring
    decides whether there are too many.

    Raises:
        BackendError: the model cannot be loaded, or its engine is gone: no request succeeds any
            more. The episodes finished before stay in `partial`.
        DataError: the slice cannot be read, or has no second page for shuffled crops.
    """
    backend = load_backend(settings)
    player = _Player(backend, name, settings, mode)
    key = _resume_key(slice_path, settings, mode, backend.revision)
    with ResumeStore(partial, key) as store:
        total = slice_length(slice_path)
        with tqdm(total=total, desc=f"{name} {mode}", unit="episode", initial=len(store)) as bar:
            for _ in range(PASSES):
                waiting = (pair for pair in player.pairs(slice_path) if pair[0].id not in store)
                if not (failed := _play(player, waiting, store, bar)):
                    break
        errors = {sample: episode.to_json() for sample, episode in failed.items()}
        about = {
            "model": name,
            "mode": mode,
            "revision": backend.revision,
            "settings": settings.model_dump(mode="json"),
        }
        write_json(output.with_suffix(".json"), about)
        if errors:
            tqdm.write(f"{_example(failed)}: will be retried", file=sys.stderr)
            ask_for_retry(partial)
        order = (sample.id for sample in read_slice(slice_path, images=False))
        store.finish(output, order, errors)


def _play(
    player: _Player,
    pairs: Iterator[tuple[Sample, Sample | None]],
    store: ResumeStore,
    bar: tqdm[Never],
) -> dict[str, Episode]:
    """Play and save; the episodes that ended in an error of the engine, by sample.

    Raises:
        BackendError: so many of them in a row that the engine must be gone, or nothing else at all.
    """
    failed: dict[str, Episode] = {}
    in_a_row, streak = 0, max(player.live, MIN_STREAK)
    for episode in player.play(pairs):
        if episode.tool_status is ToolStatus.BACKEND_ERROR:
            failed[episode.sample_id] = episode
            in_a_row += 1
        else:
            store.append(episode.sample_id, episode.to_json())
            bar.update()
            in_a_row = 0
        # Where episodes went well, the failed ones alone may be what is played, and fail again.
        if in_a_row >= (max(streak, (bar.total or 0) // 4) if len(store) else streak):
            raise BackendError(f"{_example(failed)}: the engine is gone; {_RUN_AGAIN}")
    if failed and not len(store):
        raise BackendError(f"{_example(failed)}, and none went well; {_RUN_AGAIN}")
    return failed


def _example(failed: Mapping[str, Episode]) -> str:
    first = next(iter(failed.values()))
    return (
        f"{len(failed)} episodes of {first.model} in mode {first.mode} failed, for example sample"
        f" {first.sample_id}: {first.error}"
    )


class _Player:
    """Turns samples into finished episodes of one model in one mode."""

    def __init__(self, backend: Backend, name: str, settings: ModelConfig, mode: Mode) -> None:
        self._backend = backend
        self._name = name
        self._settings = settings
        self._mode = mode
        self._rules: EpisodeRules = episode_rules(mode, settings)
        self.live = settings.live_episodes

    def pairs(self, slice_path: Path) -> Iterator[tuple[Sample, Sample | None]]:
        """The samples, each with a decoy where the mode needs one."""
        samples = read_slice(slice_path)
        if self._mode is Mode.SHUFFLED_CROP:
            return with_decoys(samples)
        return ((sample, None) for sample in samples)

    def play(self, pairs: Iterator[tuple[Sample, Sample | None]]) -> Iterator[Episode]:
        """Finished episodes, as they come."""
        episodes = prefetch(self._start, pairs, ahead=max(1, self.live // 2))
        for wave in run_episodes(episodes, self._generate, self.live):
            for episode in wave:
                yield episode.record(self._name, self._backend.revision, self._settings.seed)

    def _generate(self, episodes: Sequence[LiveEpisode]) -> Sequence[Reply]:
        return self._backend.generate([episode.request for episode in episodes])

    def _start(self, pair: tuple[Sample, Sample | None]) -> LiveEpisode:
        sample, decoy = pair
        try:
            return start_episode(sample, self._mode, self._rules, decoy)
        except DataError as error:
            nothing = Image.new("RGB", (1, 1))
            episode = LiveEpisode(
                sample.id, sample.question, nothing, nothing, self._rules, nothing
            )
            episode.abandon(ToolStatus.DATA_ERROR, str(error))
            return episode


def _resume_key(slice_path: Path, settings: ModelConfig, mode: Mode, revision: str) -> str:
    """What must be equal for an episode of an earlier run to be kept."""
    depends_on = inference_settings(settings, mode)
    return fingerprint(inference_code(settings), depends_on, revision, sha256_of(slice_path))
