"""Stage `infer`: one model, one mode, one slice; one line per episode, in slice order."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from active_perception_r1.config import GpuConfig, ModelConfig, PriceConfig
from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import BackendError, DataError, UserError
from active_perception_r1.keys import inference_key
from active_perception_r1.models.keeper import Job
from active_perception_r1.models.kept_model import kept_runner
from active_perception_r1.models.runner import BackendRunner, EpisodeRunner
from active_perception_r1.models.runner_processes import runner_processes
from active_perception_r1.modes import MODES, CropSizes
from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.storage.files import sha256_of, write_json
from active_perception_r1.storage.fingerprint import fingerprint, local_content
from active_perception_r1.storage.journal import (
    Journal,
    ask_for_retry,
    read_journal,
    replies_file,
)
from active_perception_r1.storage.shards import WHOLE, Shard, files_beside
from active_perception_r1.tasks import DEFAULT_TASK

MIN_STREAK = 16  # So many failures in a row mean that the engine is gone, whatever the batch.
_RUN_AGAIN = "what was finished is kept, run again to go on"
PASSES = 2  # Episodes that ended in an engine's error are run once more.


def infer(
    slice_path: Path,
    name: str,
    settings: ModelConfig,
    mode: str,
    output: Path,
    partial: Path,
    cores: int = 1,
    task: str = DEFAULT_TASK,
    earlier: Path | None = None,
    shard: Shard = WHOLE,
    keep: GpuConfig | None = None,
) -> None:
    """Run every sample of a slice; write the predictions, and beside them what made them.

    Finished episodes are kept in `partial` as they come, so that a killed run resumes. Those that
    other shards have kept, in files named alike, count as well. Where all are there, no model is
    loaded: another number of shards only arranges anew what is known.

    A sample that cannot be run is recorded as a data error. Where episodes still end in an error of
    the engine after PASSES, they are written down as such, the others stay in `partial`, and
    `storage.journal.retry_file` changes, by which the pipeline knows to run this again; scoring
    decides whether there are too many.

    Args:
        cores: more than one run in a process each, if transformers runs the model on the CPU.
        earlier: the model's predictions in the mode that this one goes by, if it goes by one.
        shard: the part of the slice's samples that is run.
        keep: how GPUs are leased, if the model is to be the one that stays loaded while the
            pipeline runs; without it, this process has its GPUs, and loads a model of its own.

    Raises:
        BackendError: the model cannot be loaded, or its engine is gone: no request succeeds any
            more. The episodes finished before stay in `partial`.
        DataError: the slice cannot be read, or has no second page for shuffled crops; the earlier
            predictions cannot be read, or are not those of the slice.
        UserError: the mode goes by earlier predictions, and none are given.
    """
    samples = [sample.id for sample in read_slice(slice_path, images=False)]
    order, title = shard.of(samples), f"{name} {mode}" + (f" {shard}" if shard != WHOLE else "")
    shown = _shown_earlier(mode, samples, earlier)
    key_of = functools.partial(_resume_key, sha256_of(slice_path), settings, mode, task, shown)
    others = files_beside(partial)
    with ExitStack() as stack:
        runner, made_by = None, _made_by([partial, *others], key_of, order, settings)
        if made_by is None:
            job = Job(name, settings, mode, task)
            runner = stack.enter_context(_runner(job, cores, replies_file(partial), keep))
            made_by = _MadeBy(runner.revision, dict(runner.set_aside))
        key = key_of(made_by.revision)
        store = stack.enter_context(Journal(partial, key, asdict(made_by), others))
        if made_by.set_aside:
            tqdm.write(_told(name, made_by.set_aside), file=sys.stderr)
        failed: dict[str, Episode] = {}
        if runner:
            play = functools.partial(runner.run, slice_path, earlier=shown)
            streak = max(settings.max_concurrent_episodes, MIN_STREAK)
            failed = _play(play, order, store, title, streak)
        errors = {sample: episode.to_json() for sample, episode in failed.items()}
        tokens = _tokens(store.get(sample) for sample in order)
        if settings.price:
            tqdm.write(f"{title}: {_bill(settings.price, tokens)}", file=sys.stderr)
        about = {
            "model": name,
            "mode": mode,
            "revision": made_by.revision,
            "settings": settings.model_dump(mode="json"),
            "set_aside": made_by.set_aside,
            "loads": runner.loads if runner else 0,
            "tokens": tokens,
        }
        write_json(output.with_suffix(".json"), about)
        if errors:
            tqdm.write(f"{_example(failed)}: will be retried", file=sys.stderr)
            ask_for_retry(partial)
        store.finish(output, order, errors)


def _play(
    run: Callable[[Sequence[str], Callable[[int], None]], Iterator[Episode]],
    order: Sequence[str],
    store: Journal,
    title: str,
    streak: int,
) -> dict[str, Episode]:
    """Run and save what is not saved yet; what the engine has failed at to the last, by sample."""
    failed: dict[str, Episode] = {}
    with _Progress(len(order), title, sum(sample in store for sample in order)) as bar:
        for _ in range(PASSES):
            wanted = [sample for sample in order if sample not in store]
            if not (failed := _save(run(wanted, bar.replied), store, bar, streak)):
                break
    return failed


@dataclass(frozen=True, slots=True)
class _MadeBy:
    """What a model's journals say of it; both as `Backend` has them."""

    revision: str
    set_aside: Mapping[str, Any]


def _made_by(
    stores: Iterable[Path],
    key_of: Callable[[str], str],
    order: Sequence[str],
    settings: ModelConfig,
) -> _MadeBy | None:
    """The model of earlier runs, if they have kept every sample of `order`, and it is the same.

    Of a model on the hub without a revision, the commit that they found counts, as for the
    pipeline, which does not run a finished job again because there is a newer one.
    """
    found: dict[str, set[str]] = {}
    for kept in filter(None, map(read_journal, stores)):
        if not kept.about or kept.key != key_of(kept.about["revision"]):
            continue
        have = found.setdefault(kept.key, set())
        have.update(kept.records)
        if have.issuperset(order):
            made_by = _MadeBy(**kept.about)
            return made_by if local_content(settings.id) in ("", made_by.revision) else None
    return None


class _Progress(tqdm):  # type: ignore[type-arg]  # it cannot be subscripted when it runs
    """Episodes done, and beside them the replies that have come, and what has failed."""

    def __init__(self, total: int, name: str, done: int) -> None:
        # `miniters` of 0 shows a reply that is not the end of an episode, too.
        super().__init__(total=total, desc=name, initial=done, unit="episode", miniters=0)
        self._replies = 0
        self._errors = 0

    def replied(self, count: int) -> None:
        self._replies += count
        self._show()

    def failed(self, errors: int) -> None:
        self._errors = errors
        self._show()

    def _show(self) -> None:
        errors = {"errors": self._errors} if self._errors else {}
        self.set_postfix({"replies": self._replies, **errors}, refresh=False)
        self.update(0)


def _runner(
    job: Job, cores: int, replies: Path, keep: GpuConfig | None
) -> AbstractContextManager[EpisodeRunner]:
    count = cores if job.shares else 1  # Other engines share out the work themselves.
    if keep:
        return kept_runner(job, count, keep)
    if count > 1:
        return runner_processes(count, job.name, job.settings, job.mode, job.task)
    return BackendRunner(job.name, job.settings, job.mode, job.task, replies)


def _save(
    episodes: Iterator[Episode], store: Journal, bar: _Progress, streak: int
) -> dict[str, Episode]:
    """Save episodes as they come; those that ended in an error of the engine, by sample.

    Raises:
        BackendError: so many of them in a row that the engine must be gone, or nothing else at all.
    """
    failed: dict[str, Episode] = {}
    in_a_row = 0
    bar.failed(0)
    for episode in episodes:
        if episode.tool_status is ToolStatus.BACKEND_ERROR:
            failed[episode.sample_id] = episode
            bar.failed(len(failed))
            in_a_row += 1
        else:
            store.append(episode.sample_id, episode.to_json())
            bar.update()
            in_a_row = 0
        # Where episodes went well, the failed ones alone may be what is run, and fail again.
        if in_a_row >= (max(streak, (bar.total or 0) // 4) if len(store) else streak):
            raise BackendError(f"{_example(failed)}: the engine is gone; {_RUN_AGAIN}")
    if failed and not len(store):
        raise BackendError(f"{_example(failed)}, and none went well; {_RUN_AGAIN}")
    return failed


def _tokens(records: Iterable[str | None]) -> dict[str, int]:
    """Of all turns; a later turn reads its whole conversation anew."""
    turns = [turn for record in records if record for turn in json.loads(record)["turns"]]
    return {
        kind: sum(turn[f"{kind}_tokens"] for turn in turns) for kind in ("prompt", "completion")
    }


def _bill(price: PriceConfig, tokens: Mapping[str, int]) -> str:
    prompt, completion = tokens["prompt"], tokens["completion"]
    return (
        f"{prompt} tokens of prompts, {completion} of replies,"
        f" {price.of(prompt, completion):.2f} at the price of the entry"
    )


def _told(model: str, set_aside: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{option}={value}" for option, value in set_aside.items())
    return (
        f"{model}: the generation_config of its checkpoint ({listed}) is set aside; decoding in its"
        " entry decides"
    )


def _example(failed: Mapping[str, Episode]) -> str:
    first = next(iter(failed.values()))
    return (
        f"{len(failed)} episodes of {first.model} in mode {first.mode} failed, for example sample"
        f" {first.sample_id}: {first.error}"
    )


def _shown_earlier(
    mode: str, order: Sequence[str], earlier: Path | None
) -> dict[str, CropSizes] | None:
    """By sample, the crops that were shown in the mode that this one goes by; None if it does not.

    Of an episode that ended in an error they are those that came before it.
    """
    if not (by := MODES[mode].goes_by):
        return None
    if earlier is None:
        raise UserError(
            f"mode {mode} goes by the model's episodes in mode {by}; name their predictions by"
            " --earlier"
        )
    shown = {episode.sample_id: episode.crop_sizes for episode in read_predictions(earlier)}
    if lacking := set(order) - shown.keys():
        raise DataError(
            f"{earlier}: no prediction for sample {min(lacking)} of the slice; run infer again"
        )
    return {sample: shown[sample] for sample in order}


def _resume_key(
    slice: str,
    settings: ModelConfig,
    mode: str,
    task: str,
    earlier: Mapping[str, CropSizes] | None,
    revision: str,
) -> str:
    """What must be equal for an episode of an earlier run to be kept; `slice` is its sha256."""
    by = [] if earlier is None else [json.dumps(earlier)]
    key = str(inference_key(settings, mode, task))
    return fingerprint(key, revision, slice, *by)
