"""Score the predictions of one model in one mode: one row per sample, in slice order.

Columns of the table (boxes and areas in page coordinates; a value that does not exist is null):

    sample_id, doc_id, layout, requires_zoom, has_evidence   from the slice
    page_width, page_height                                  of the page, in pixels
    evidence_height                                          of the part of the evidence that is
                                                             hardest to read, as a share of the
                                                             page's height; null if none is known
    score, correct                                           by the task: in [0, 1], and what
                                                             accuracy counts
    em, anls, anls_lmms, relaxed                             answer metrics, whatever the task
    answer, tool_status, error                               `error`: of the engine or the sample's
                                                             data, in words; empty without
    zoom_calls, shown_zooms, distinct_zooms, relevant_zooms,
    redundant_zooms, malformed_zooms, invalid_zooms,
    out_of_bounds_zooms, over_limit_zooms                    counts; invalid includes too small,
                                                             distinct leaves out repeats
    coverage, iou                                            best over the crops that were shown;
                                                             null without known evidence
    first_area, smallest_area                                of the crops that were shown
    reward, process, relevance, faults                       see rewards.active_vision_reward

An episode with an error keeps its row and counts as not correct, whatever text it left behind; it
has no coverage and no reward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import DataError, UserError
from active_perception_r1.records import Episode, Sample, ToolStatus
from active_perception_r1.rewards.active_vision_reward import RewardConfig, episode_reward
from active_perception_r1.scoring.answer_metrics import anls_batch, relaxed_match
from active_perception_r1.storage.files import atomic
from active_perception_r1.tasks import DEFAULT_TASK, TASKS
from active_perception_r1.tasks.short_answer import exact_match

Row = dict[str, Any]

ROWS_IN_MEMORY = 2000

# Typed by hand, because a column may hold nothing but nulls.
_NULLABLE = {
    "answer": "str",
    "evidence_height": "float64",
    "coverage": "float64",
    "iou": "float64",
    "first_area": "float64",
    "smallest_area": "float64",
    "reward": "float64",
    "process": "float64",
    "relevance": "float64",
    "faults": "float64",
}


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
    pairs = _pairs(predictions, slice_file)
    rows = score_table(islice(pairs, ROWS_IN_MEMORY), settings, task)
    schema = pa.Schema.from_pandas(rows, preserve_index=False)
    total, failed = 0, rows.iloc[:0]
    with atomic(output) as part:
        with pq.ParquetWriter(part, schema) as writer:
            while len(rows):
                writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
                total += len(rows)
                failed = pd.concat([failed, rows[rows["error"] != ""]])
                rows = score_table(islice(pairs, ROWS_IN_MEMORY), settings, task)
        _require_few_errors(failed, total, max_error_share, predictions)


def _require_few_errors(
    failed: pd.DataFrame, total: int, max_error_share: float, predictions: Path
) -> None:
    if len(failed) > max_error_share * total:
        first = failed.iloc[0]
        raise UserError(
            f"{predictions}: {len(failed)} of {total} episodes ended in an error, more than"
            f" max_error_share {max_error_share} of the study allows; for example sample"
            f" {first['sample_id']}: {first['error']}. Run again to retry those of the engine."
        )


def score_table(
    pairs: Iterable[tuple[Sample, Episode]], settings: RewardConfig, task: str = DEFAULT_TASK
) -> pd.DataFrame:
    """The table described above, in the order of the pairs; empty without any."""
    rows: list[Row] = []
    accepted: list[tuple[str, ...]] = []
    for sample, episode in pairs:
        rows.append(_row(sample, episode, settings, task))
        accepted.append(sample.answers)
    if not rows:
        return pd.DataFrame()
    similarity = anls_batch([row["answer"] for row in rows], accepted)
    table = pd.DataFrame(rows).astype(_NULLABLE)
    return table.assign(anls=similarity.paper, anls_lmms=similarity.lmms)


def _pairs(predictions: Path, slice_file: Path) -> Iterator[tuple[Sample, Episode]]:
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


def _row(sample: Sample, episode: Episode, settings: RewardConfig, task: str) -> Row:
    failed = episode.tool_status.is_failure
    answer = None if failed else episode.answer
    reward = episode_reward(episode, sample, settings, task)
    judgement = TASKS[task].judge(answer, sample.answers)
    areas = [step.executed.area for step in episode.shown_crops if step.executed is not None]
    judged = bool(sample.evidence) and not failed
    over_limit = sum(step.status is ToolStatus.ZOOM_LIMIT_REACHED for step in episode.steps)
    return {
        "sample_id": sample.id,
        "doc_id": sample.doc_id,
        "layout": sample.layout,
        "requires_zoom": sample.requires_zoom,
        "has_evidence": bool(sample.evidence),
        "page_width": sample.width,
        "page_height": sample.height,
        "evidence_height": _evidence_height(sample),
        "score": judgement.score,
        "correct": judgement.correct,
        "em": exact_match(answer, sample.answers),
        "relaxed": relaxed_match(answer, sample.answers),
        "answer": answer,
        "tool_status": str(episode.tool_status),
        "error": " ".join(episode.error.split()) or "unknown" if failed else "",
        "zoom_calls": reward.calls,
        "shown_zooms": reward.shown,
        "distinct_zooms": sum(not step.redundant for step in episode.shown_crops),
        "relevant_zooms": reward.relevant,
        "redundant_zooms": reward.redundant,
        "malformed_zooms": reward.malformed,
        "invalid_zooms": reward.invalid,
        "out_of_bounds_zooms": reward.out_of_bounds,
        "over_limit_zooms": over_limit,
        "coverage": reward.coverage if judged else None,
        "iou": reward.iou if judged else None,
        "first_area": areas[0] if areas else None,
        "smallest_area": min(areas, default=None),
        "reward": None if failed else reward.score,
        "process": None if failed else reward.process,
        "relevance": None if failed else reward.relevance,
        "faults": None if failed else reward.faults,
    }


def _evidence_height(sample: Sample) -> float | None:
    """Of each part's alternatives the tallest can be read best; of the parts the lowest, worst."""
    tallest: dict[str, float] = {}
    for region in sample.evidence:
        height = region.box.y1 - region.box.y0
        tallest[region.label] = max(height, tallest.get(region.label, 0.0))
    return min(tallest.values(), default=None)
