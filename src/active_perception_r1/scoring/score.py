"""Score the predictions of one model in one mode: one row per sample, in slice order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pyarrow.parquet as pq

from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import DataError, UserError
from active_perception_r1.records import Episode, Sample
from active_perception_r1.rewards.active_vision_reward import RewardConfig, episode_reward
from active_perception_r1.scoring.metrics import METRICS, Judged
from active_perception_r1.scoring.score_row import ScoreRow, as_table
from active_perception_r1.storage.files import atomic
from active_perception_r1.tasks import DEFAULT_TASK, TASKS

ROWS_IN_MEMORY = 2000

Pair: TypeAlias = tuple[Sample, Episode]


def score(
    predictions: Path,
    slice_file: Path,
    settings: RewardConfig,
    output: Path,
    max_error_share: float = 1.0,
    task: str = DEFAULT_TASK,
) -> None:
    """Write the table of scores (parquet) of a predictions file, a part at a time.

    Raises:
        UserError: more than `max_error_share` of the episodes ended in an error.
        DataError: the slice is empty, or a prediction is unreadable, missing, given twice, or for
            no sample of the slice.
    """
    total, failed = 0, list[ScoreRow]()
    with atomic(output) as part:
        with pq.ParquetWriter(part, as_table([]).schema) as writer:
            for pairs in _parts(_pairs(predictions, slice_file)):
                rows = score_rows(pairs, settings, task)
                writer.write_table(as_table(rows))
                total += len(rows)
                failed += (row for row in rows if row.error)
        _require_few_errors(failed, total, max_error_share, predictions)


def _require_few_errors(
    failed: Sequence[ScoreRow], total: int, max_error_share: float, predictions: Path
) -> None:
    if len(failed) > max_error_share * total:
        raise UserError(
            f"{predictions}: {len(failed)} of {total} episodes ended in an error, more than"
            f" max_error_share {max_error_share} of the study allows; for example sample"
            f" {failed[0].sample_id}: {failed[0].error}. Run again to retry those of the engine."
        )


def score_rows(
    pairs: Iterable[Pair], settings: RewardConfig, task: str = DEFAULT_TASK
) -> list[ScoreRow]:
    """How each episode did, in the order of the pairs."""
    judged = [_judged(sample, episode, settings, task) for sample, episode in pairs]
    measured = {name: metric.values(judged) for name, metric in METRICS.items()}
    return [
        _row(one, {name: values[place] for name, values in measured.items()})
        for place, one in enumerate(judged)
    ]


def _parts(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    """A part at a time; all at once where a question may be asked with its options in other orders.

    These rows are measured together, and may stand anywhere in the slice.
    """
    while part := list(islice(pairs, ROWS_IN_MEMORY)):
        if any(sample.options for sample, _ in part):
            part += pairs
        yield part


def _pairs(predictions: Path, slice_file: Path) -> Iterator[Pair]:
    """Each sample of the slice, without its image, with its one episode.

    Predictions are in slice order as `infer` writes them, and are read as the slice is. In another
    order they are understood as well, but wait in memory for their turn.
    """
    episodes = read_predictions(predictions)
    waiting: dict[str, Episode] = {}
    seen: set[str] = set()

    def read_next() -> bool:
        episode = next(episodes, None)
        if episode is None:
            return False
        if episode.sample_id in seen:
            raise DataError(
                f"{predictions}: sample {episode.sample_id} is predicted twice; run infer again"
            )
        seen.add(episode.sample_id)
        waiting[episode.sample_id] = episode
        return True

    sample = None
    for sample in read_slice(slice_file, images=False):
        while sample.id not in waiting:
            if not read_next():
                raise DataError(
                    f"{predictions}: no prediction for sample {sample.id} of {slice_file};"
                    " run infer again"
                )
        yield sample, waiting.pop(sample.id)
    if sample is None:
        raise DataError(f"{slice_file}: no samples; run sample_slice again")
    while read_next():
        pass
    if waiting:
        raise DataError(
            f"{predictions}: sample {next(iter(waiting))} is not in {slice_file};"
            " the predictions belong to another slice, run infer again"
        )


def _judged(sample: Sample, episode: Episode, settings: RewardConfig, task: str) -> Judged:
    failed = episode.tool_status.is_failure
    answer = None if failed else episode.answer
    return Judged(
        sample=sample,
        episode=episode,
        answer=answer,
        judgement=TASKS[task].judge(answer, sample.answers, sample.options),
        reward=None if failed else episode_reward(episode, sample, settings, task),
    )


def _row(judged: Judged, metrics: Mapping[str, float | None]) -> ScoreRow:
    sample, episode = judged.sample, judged.episode
    failed = episode.tool_status.is_failure
    return ScoreRow(
        sample_id=sample.id,
        doc_id=sample.doc_id,
        layout=sample.layout,
        cycle=sample.cycle,
        requires_zoom=sample.requires_zoom,
        has_evidence=bool(sample.evidence),
        page_width=sample.width,
        page_height=sample.height,
        evidence_height=_evidence_height(sample),
        answer=judged.answer,
        tool_status=str(episode.tool_status),
        error=" ".join(episode.error.split()) or "unknown" if failed else "",
        score=judged.judgement.score,
        correct=judged.judgement.correct,
        reward=judged.reward,
        metrics=metrics,
    )


def _evidence_height(sample: Sample) -> float | None:
    """Of each part's alternatives the tallest can be read best; of the parts the lowest, worst."""
    tallest: dict[str, float] = {}
    for region in sample.evidence:
        height = region.box.y1 - region.box.y0
        tallest[region.label] = max(height, tallest.get(region.label, 0.0))
    return min(tallest.values(), default=None)
