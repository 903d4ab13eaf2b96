"""Slice files: rows that are `records.Sample`s, one column for each of its fields."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import pyarrow as pa

from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.storage.files import atomic
from active_perception_r1.storage.rows import ROWS_PER_GROUP, Row, RowWriter, open_parquet

_EVIDENCE = pa.struct(
    [("label", pa.string()), *((side, pa.float64()) for side in ("x0", "y0", "x1", "y1", "weight"))]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("doc_id", pa.string()),
        ("image", pa.binary()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("question", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("evidence", pa.list_(_EVIDENCE)),
        ("requires_zoom", pa.bool_()),
        ("layout", pa.string()),
        ("options", pa.list_(pa.string())),
        ("cycle", pa.string()),
    ]
)


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Writes a slice file, whole or not at all, holding a few samples in memory at a time."""
    with atomic(path) as part, RowWriter(part, SCHEMA) as writer:
        for sample in samples:
            writer.add(as_row(sample))


def read_slice(path: Path, images: bool = True) -> Iterator[Sample]:
    """The samples of a slice file in their order, a few in memory at a time.

    Args:
        images: false to leave the images out, which is far faster; they are then empty.

    Raises:
        DataError: the file is missing or not a slice.
    """
    with open_parquet(path) as file:
        if missing := set(SCHEMA.names) - set(file.schema_arrow.names):
            raise DataError(f"{path}: not a slice file; it lacks {', '.join(sorted(missing))}")
        columns = [name for name in SCHEMA.names if images or name != "image"]
        size = ROWS_PER_GROUP if images else 1024
        for batch in file.iter_batches(batch_size=size, columns=columns):
            for row in batch.to_pylist():
                yield _from_row({"image": b"", **row})


class SampleFile:
    """A slice file to read single samples from, in any order, with one row group in memory.

    Raises:
        DataError: the file is missing or not parquet.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_parquet(path)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position of the file, counted from 0."""
        group, place = divmod(index, ROWS_PER_GROUP)
        row: Row = self._file.read_row_group(group, SCHEMA.names).slice(place, 1).to_pylist()[0]
        return _from_row(row)


def slice_length(path: Path) -> int:
    """Number of samples in a slice file, without reading them.

    Raises:
        DataError: the file is missing or not parquet.
    """
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def page_keys(sample: Sample) -> tuple[str, str]:
    """By which its page is known: two samples are on one page if they share either."""
    return sample.doc_id, image_hash(sample.image)


def image_hash(image: bytes) -> str:
    """Identifies a page by its encoded image, so that questions on one page share it."""
    return hashlib.sha256(image).hexdigest()[:16]


def as_row(sample: Sample) -> Row:
    """A sample as a row of a slice file."""
    # Not `asdict`: it would copy the image.
    row = {field.name: getattr(sample, field.name) for field in fields(sample)}
    row["evidence"] = [
        {
            "label": region.label,
            "x0": region.box.x0,
            "y0": region.box.y0,
            "x1": region.box.x1,
            "y1": region.box.y1,
            "weight": region.weight,
        }
        for region in sample.evidence
    ]
    return row


def _from_row(row: Row) -> Sample:
    evidence = tuple(
        Evidence(r["label"], Box(r["x0"], r["y0"], r["x1"], r["y1"]), r["weight"])
        for r in row["evidence"]
    )
    texts = {name: tuple(row[name]) for name in ("answers", "options")}
    return Sample(**{**row, **texts, "evidence": evidence})
