"""Brings one split of a dataset to disk, in one layout whatever its source.

Beside `{split}.parquet` stands `{split}.json`: where the rows came from, at which revision, how
many there are, and the unit of their word boxes with the counts that it rests on.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from tqdm import tqdm

from active_perception_r1.data import docvqa
from active_perception_r1.data.boxes import BoxSurvey
from active_perception_r1.data.dependence import download_code
from active_perception_r1.data.sources import READERS, Source
from active_perception_r1.envs.encoded_page import size_by_head
from active_perception_r1.errors import DataError
from active_perception_r1.storage.chunks import ChunkStore
from active_perception_r1.storage.files import atomic, sha256_of, write_json
from active_perception_r1.storage.fingerprint import fingerprint
from active_perception_r1.storage.rows import RowWriter, open_parquet

# Only for types: this stage must not depend on prompts and models, which the configuration names.
if TYPE_CHECKING:
    from active_perception_r1.config import DatasetConfig

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
    source = READERS[dataset.source](dataset, split)
    # The unit is found when all rows are there; the user may have to say it then.
    settings = dataset.model_dump_json(exclude={"box_unit"})
    key = fingerprint(download_code(dataset.source), settings, split, source.revision)
    with ChunkStore(partial or output.with_suffix(".partial"), key) as store:
        survey = BoxSurvey()
        with atomic(output) as part:  # now: a folder that cannot be written to is told at once
            _save(source, store, where)
            rows = _join(store.parts, part, survey, where)
            if rows == 0:
                raise DataError(f"{where}: there are no rows")
            unit = survey.decide(dataset.stated_unit, where)
        about = {
            "dataset": dataset.model_dump(mode="json"),
            "split": split,
            "revision": source.revision,
            "rows": rows,
            "box_unit": unit,
            "box_unit_set_by": "configuration" if dataset.stated_unit else "data",
            "boxes": survey.counts(),
            "sha256": sha256_of(output),
        }
        write_json(output.with_suffix(".json"), about)
        store.remove()


def _save(source: Source, store: ChunkStore, where: str) -> None:
    """Brings those rows to disk that are not there yet."""
    saved = min(len(store.parts) * ROWS_PER_CHUNK, source.total)
    bar = tqdm(source.rows(saved), desc=where, total=source.total, initial=saved, unit="row")
    with bar:
        rows = iter(bar)
        for first in rows:
            with store.next() as path, RowWriter(path, docvqa.SCHEMA) as writer:
                for row in chain([first], islice(rows, ROWS_PER_CHUNK - 1)):
                    writer.add(docvqa.normalised(row))


def _join(parts: Sequence[Path], output: Path, survey: BoxSurvey, where: str) -> int:
    """Writes the rows of all parts to one file, surveys their boxes, and returns their number."""
    count = 0
    with pq.ParquetWriter(output, docvqa.SCHEMA) as writer:
        for part in tqdm(parts, desc=f"{where}, joined", unit="part"):
            with open_parquet(part) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, use_threads=False)
                    for row in table.select(["image", "bounding_boxes"]).to_pylist():
                        page_size = functools.partial(size_by_head, row["image"])
                        survey.add(row["bounding_boxes"] or (), page_size)
                    writer.write_table(table)
                    count += len(table)
    return count
