"""Brings one split of a dataset to disk, in one layout whatever its source.

Beside `{split}.parquet` stands `{split}.json`: where the rows came from, at which revision, how
many there are, and the unit of their boxes with the counts that it rests on.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path

import pyarrow.parquet as pq
from tqdm import tqdm

from active_perception_r1.config import BoxUnit, DatasetConfig
from active_perception_r1.data import questions
from active_perception_r1.data.boxes import BoxSurvey
from active_perception_r1.data.formats import About, Split
from active_perception_r1.data.sources import READERS
from active_perception_r1.envs.encoded_page import size_by_head
from active_perception_r1.errors import DataError
from active_perception_r1.keys import download_key
from active_perception_r1.storage.chunks import ChunkStore
from active_perception_r1.storage.files import atomic, sha256_of, write_json
from active_perception_r1.storage.fingerprint import fingerprint
from active_perception_r1.storage.rows import RowWriter, open_parquet

ROWS_PER_CHUNK = 32
"""How many rows are saved at a time, in whole row groups; a kill costs at most so many."""


def download(dataset: DatasetConfig, split: str, output: Path, partial: Path | None = None) -> None:
    """Writes one split of a dataset to `output`, and what is known about it to a JSON beside it.

    Memory does not grow with the number of rows.

    Args:
        partial: folder where rows are kept until all are there, so that a killed download goes on
            where it was; by default beside `output`.

    Raises:
        DataError: the data cannot be reached, has no such split, lacks columns or rows, or its word
            boxes are in no clear unit.
        UserError: another process is downloading to the same folder.
    """
    where = f"{dataset.name}, split {split}"
    found = READERS[dataset.source].open(dataset, split)
    stated = dataset.stated_unit or found.box_unit
    # The unit is found when all rows are there; the user may have to say it then.
    wanted = str(download_key(dataset, split, without=("box_unit",)))
    key = fingerprint(wanted, split, found.revision)
    with ChunkStore(partial or output.with_suffix(".partial"), key) as store:
        survey = BoxSurvey()
        with atomic(output) as part:  # now: a folder that cannot be written to is told at once
            _save(found, store, where)
            rows = _join(store.parts, part, survey, where)
            if rows == 0:
                raise DataError(f"{where}: there are no rows")
            unit = survey.decide(stated, where)
        about = {
            "dataset": dataset.model_dump(mode="json"),
            "split": split,
            "revision": found.revision,
            **({"about": asdict(found.about)} if found.about != About() else {}),
            "rows": rows,
            "box_unit": unit,
            "box_unit_set_by": _who_said_it(dataset.stated_unit, found.box_unit),
            "boxes": survey.counts(),
            "sha256": sha256_of(output),
        }
        write_json(output.with_suffix(".json"), about)
        store.remove()


def _who_said_it(configured: BoxUnit | None, known: BoxUnit | None) -> str:
    if configured:
        return "configuration"
    return "format" if known else "data"


def _save(split: Split, store: ChunkStore, where: str) -> None:
    """Brings those rows to disk that are not there yet."""
    saved = min(len(store.parts) * ROWS_PER_CHUNK, split.total)
    bar = tqdm(split.questions(saved), desc=where, total=split.total, initial=saved, unit="row")
    with bar:
        waiting = iter(bar)
        for first in waiting:
            with store.next() as path, RowWriter(path, questions.SCHEMA) as writer:
                for question in chain([first], islice(waiting, ROWS_PER_CHUNK - 1)):
                    writer.add(questions.as_row(question))


def _join(parts: Sequence[Path], output: Path, survey: BoxSurvey, where: str) -> int:
    """Writes the rows of all parts to one file, surveys their boxes, and returns their number."""
    count = 0
    with pq.ParquetWriter(output, questions.SCHEMA) as writer:
        for part in tqdm(parts, desc=f"{where}, joined", unit="part"):
            with open_parquet(part) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, use_threads=False)
                    for row in table.select(["image", "word_boxes", "evidence"]).to_pylist():
                        boxes = [*row["word_boxes"], *(r["box"] for r in row["evidence"])]
                        survey.add(boxes, functools.partial(size_by_head, row["image"]))
                    writer.write_table(table)
                    count += len(table)
    return count
