"""Which questions are asked: seeded draws from a split, for evaluation and for training.

The order of a draw is that of a hash over seed, id and question of each row. So it does not depend
on the order of rows, a larger draw contains every smaller one, and rows that are added later move
the others apart but do not reshuffle them.

A row that cannot be used is left out by name and reason, and the next one in the order takes its
place. A row whose evidence is not known is used; it says so by having none.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq
from tqdm import tqdm

from active_perception_r1.config import BoxUnit, SliceConfig
from active_perception_r1.data.boxes import Size, page_boxes
from active_perception_r1.data.evidence import inside_page, locate_evidence
from active_perception_r1.data.needs import NEEDS, Decision
from active_perception_r1.data.questions import SCHEMA, Question, from_row
from active_perception_r1.data.samples import (
    image_hash,
    page_keys,
    read_slice,
    slice_length,
    write_samples,
)
from active_perception_r1.envs.encoded_page import checked_size
from active_perception_r1.errors import DataError
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.rewards.need import needs_zoom
from active_perception_r1.storage.files import write_json
from active_perception_r1.storage.rows import Row, group_starts, open_parquet

__all__ = ["grpo_data", "read_slice", "sample_slice", "slice_length", "write_samples"]


@dataclass(slots=True)
class _Draw:
    """A draw in progress: what was asked for and what has happened so far.

    Attributes:
        need: settings of how it is told which questions need a zoom.
    """

    dataset: Path
    samples: int
    seed: int
    need: SliceConfig
    training: bool = False
    shared_pages: frozenset[str] = frozenset()  # ids and content hashes of pages not to be used
    taken: int = 0
    with_evidence: int = 0
    with_options: int = 0
    shared: int = 0
    decided_by: Counter[str] = field(default_factory=Counter)
    left_out: list[dict[str, str]] = field(default_factory=list)


def sample_slice(
    dataset: Path, slice: SliceConfig, output: Path, shows_options: bool = True
) -> None:
    """Draws `slice.samples` questions from a downloaded split.

    Writes `output` and, beside it, a JSON with the rows that were left out and why. With fewer
    usable rows than asked for, all are taken, and the JSON and a warning say so.

    Args:
        shows_options: whether the study's task asks to choose: a warning tells of options that no
            model will see.

    Raises:
        DataError: the split or the JSON beside it cannot be read, or no row can be used.
        UserError: the reader that tells which need a zoom is not installed.
    """
    draw = _Draw(dataset, slice.samples, slice.seed, slice)
    _write(draw, output)
    if draw.with_options and not shows_options:
        print(
            f"warning: {output}: {draw.with_options} questions have options, which the study's task"
            " does not show; set task: multiple_choice if they are to be chosen from",
            file=sys.stderr,
        )


def grpo_data(
    dataset: Path,
    evaluation_slice: Path,
    samples: int,
    seed: int,
    output: Path,
    study: SliceConfig = SliceConfig(),
) -> None:
    """Draws training questions from pages that the evaluation slice does not contain.

    Pages are the same if their `doc_id` is or if their images are, byte for byte. Where one file
    serves every split, this is what keeps training and evaluation apart.

    Args:
        study: how its evaluation slice is drawn; which questions need a zoom is told alike.

    Raises:
        DataError: a file cannot be read, or no row is left.
        UserError: the reader that tells which need a zoom is not installed.
    """
    evaluated = {key for sample in read_slice(evaluation_slice) for key in page_keys(sample)}
    _write(_Draw(dataset, samples, seed, study, True, frozenset(evaluated)), output)


def _write(draw: _Draw, output: Path) -> None:
    kept = output.with_name(f".{output.stem}.readings")  # not an output, which would be deleted
    with NEEDS[draw.need.requires_zoom](draw.need, kept) as decide:
        samples = (_decided(draw, decide, *drawn) for drawn in _drawn(draw))
        write_samples(output, tqdm(samples, total=draw.samples, desc=output.stem, unit="sample"))
    about = {
        "dataset": str(draw.dataset),
        "seed": draw.seed,
        "asked": draw.samples,
        "taken": draw.taken,
        "with_evidence": draw.with_evidence,
        "left_out": draw.left_out,
    }
    if draw.need.need:
        about["requires_zoom"] = {**draw.need.need, "decided_by": dict(draw.decided_by)}
    if draw.shared_pages:
        about["left_out_as_on_evaluated_page"] = draw.shared
    write_json(output.with_suffix(".json"), about)
    _warn(draw, output)


def _warn(draw: _Draw, output: Path) -> None:
    if draw.taken < draw.samples:
        print(
            f"warning: {output}: {draw.samples} samples asked for, {draw.taken} can be used",
            file=sys.stderr,
        )
    if draw.taken and not draw.with_evidence and draw.training:
        print(
            f"warning: {output}: no question has evidence, so the relevance of every zoom will be"
            " 0: only right answers will be learned",
            file=sys.stderr,
        )
    if draw.left_out:
        first = draw.left_out[0]
        print(
            f"warning: {output}: {len(draw.left_out)} rows left out, first '{first['id']}':"
            f" {first['reason']}; all are named in {output.with_suffix('.json').name}",
            file=sys.stderr,
        )


def _decided(
    draw: _Draw, decide: Callable[[Sample], Decision], question: Question, sample: Sample
) -> Sample:
    """The sample as it is used: where its dataset does not say it, whether it needs a zoom."""
    if question.requires_zoom is not None:
        draw.decided_by["dataset"] += 1
        return sample
    decision = decide(sample)
    draw.decided_by[decision.by] += 1
    return replace(sample, requires_zoom=decision.requires_zoom)


def _drawn(draw: _Draw) -> Iterator[tuple[Question, Sample]]:
    """The samples of a draw, in its order; keeps the draw's record."""
    unit = _box_unit(draw.dataset)
    ids: set[str] = set()
    with open_parquet(draw.dataset) as file:
        if missing := set(SCHEMA.names) - set(file.schema_arrow.names):
            raise DataError(
                f"{draw.dataset}: not a downloaded split; it lacks {', '.join(sorted(missing))}"
            )
        starts = group_starts(file)
        for index in _order(file, draw.seed):
            question = from_row(_fetch(file, starts, index))
            try:
                sample = as_sample(question, unit)
                if sample.id in ids:
                    raise DataError("its id occurs twice")
            except DataError as error:
                draw.left_out.append({"id": question.id, "reason": str(error)})
                continue
            if draw.shared_pages.intersection(page_keys(sample)):
                draw.shared += 1
                continue
            ids.add(sample.id)
            draw.taken += 1
            draw.with_evidence += bool(sample.evidence)
            draw.with_options += bool(sample.options)
            yield question, sample
            if draw.taken == draw.samples:
                return
    if draw.taken == 0:
        raise DataError(f"{draw.dataset}: no row can be used: {_reasons(draw)}")


def _box_unit(dataset: Path) -> BoxUnit | None:
    about = dataset.with_suffix(".json")
    try:
        unit: BoxUnit | None = json.loads(about.read_text(encoding="utf-8"))["box_unit"]
    except FileNotFoundError:
        raise DataError(
            f"{about}: no such file; it is written when the split is downloaded"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{about}: does not tell the box unit ({error})") from None
    return unit


def _order(file: pq.ParquetFile, seed: int) -> list[int]:
    """Row indices in the order of the draw."""
    keys: list[bytes] = []
    for batch in file.iter_batches(columns=["id", "question"]):
        for row in batch.to_pylist():
            key = json.dumps([seed, row["id"], row["question"]])
            keys.append(hashlib.sha256(key.encode()).digest())
    return sorted(range(len(keys)), key=keys.__getitem__)


def _fetch(file: pq.ParquetFile, starts: list[int], index: int) -> Row:
    group = bisect.bisect_right(starts, index) - 1
    # One thread: the pipeline counts on it, and starting more costs more than they save.
    table = file.read_row_group(group, use_threads=False).slice(index - starts[group], 1)
    row: Row = table.to_pylist()[0]
    return row


def as_sample(question: Question, unit: BoxUnit | None) -> Sample:
    """Checks a question and finds its evidence.

    Args:
        unit: of all boxes of its split; None where there is not one.

    Raises:
        DataError: why it cannot be used.
    """
    if question.unusable:
        raise DataError(question.unusable)
    asked = question.question.strip()
    answers = tuple(answer for answer in question.answers if answer.strip())
    for present, name in ((asked, "question"), (answers, "answer"), (question.image, "image")):
        if not present:
            raise DataError(f"it has no {name}")
    width, height = checked_size(question.image)
    evidence = _evidence(question, unit, (width, height), answers)
    requires_zoom = question.requires_zoom
    return Sample(
        id=question.id,
        doc_id=question.doc_id or image_hash(question.image),
        image=question.image,
        width=width,
        height=height,
        question=asked,
        answers=answers,
        evidence=evidence,
        requires_zoom=needs_zoom(evidence) if requires_zoom is None else requires_zoom,
        layout=question.layout,
        options=question.options,
        cycle=question.cycle,
    )


def _evidence(
    question: Question, unit: BoxUnit | None, size: Size, answers: tuple[str, ...]
) -> tuple[Evidence, ...]:
    if unit is None:  # the whole split is without boxes
        return ()
    try:
        if question.evidence:
            given = page_boxes([region.box for region in question.evidence], unit, size, "evidence")
            return tuple(
                Evidence(region.label, inside_page(box), region.weight)
                for region, box in zip(question.evidence, given, strict=True)
            )
        boxes = page_boxes(question.word_boxes, unit, size, "word")
        return locate_evidence(question.words, boxes, answers, question.span)
    except ValueError as error:
        raise DataError(str(error)) from None


def _reasons(draw: _Draw) -> str:
    """What became of the rows of a draw that took none."""
    counts = Counter(row["reason"] for row in draw.left_out)
    if draw.shared:
        counts["its page is in the evaluation slice"] = draw.shared
    return "; ".join(f"{reason} ({count}x)" for reason, count in counts.most_common(3)) or "no rows"
