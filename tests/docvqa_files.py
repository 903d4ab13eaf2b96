"""Small datasets in the DocVQA-1200 layout, good and bad, for tests."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import ExifTags, Image

from active_perception_r1.config.sources._table import Columns
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.formats import Table
from active_perception_r1.data.formats._table import Reading
from active_perception_r1.data.formats.docvqa import FORMAT as DOCVQA
from active_perception_r1.data.questions import SCHEMA, as_row
from active_perception_r1.data.sources import READERS
from active_perception_r1.storage.rows import RowWriter

ROTATED = 6  # EXIF: to be turned by 90 degrees for display


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int = 60, height: int = 80, shade: int = 255, mode: str = "L") -> bytes:
    """An encoded page; pages of different `shade` differ."""
    return encoded(Image.new(mode, (width, height), shade), "PNG")


def bomb(side: int = 20_000) -> bytes:
    """A small PNG whose head claims `side` x `side` pixels."""
    page = png()
    head = b"IHDR" + struct.pack(">II", side, side) + page[24:29]
    return page[:12] + head + struct.pack(">I", zlib.crc32(head)) + page[33:]


def rotated_jpeg(width: int, height: int) -> bytes:
    """An encoded page whose EXIF orientation exchanges width and height."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = ROTATED
    return encoded(Image.new("RGB", (width, height), "white"), "JPEG", exif=exif)


PAGE = png()


def docvqa_row(id: str = "q0", image: bytes | None = PAGE, **changes: Any) -> dict[str, Any]:
    """A good row, its answer in the last of three words, with some columns changed."""
    row: dict[str, Any] = {
        "id": id,
        "image": {"bytes": image, "path": None},
        "query": {"en": "What is the total?", "de": None},
        "answers": ["9.00"],
        "words": ["The", "total:", "9.00"],
        "bounding_boxes": [[0.1, 0.1, 0.2, 0.15], [0.3, 0.1, 0.5, 0.15], [0.6, 0.1, 0.95, 0.15]],
        "answer": {"match_score": 1.0, "matched_text": "9.00", "start": 2, "text": "9.00"},
    }
    return {**row, **changes}


def synthetic_rows(count: int) -> list[dict[str, Any]]:
    """Rows about pages of the demo's kind."""
    pages = SyntheticDataset(source="synthetic", questions={"all": count})
    return [
        docvqa_row(
            asked.id,
            asked.image,
            query={"en": asked.question},
            answers=list(asked.answers),
            words=list(asked.words),
            bounding_boxes=[list(box) for box in asked.word_boxes],
            answer={"start": asked.span.start, "matched_text": asked.span.text},
            exact_span=True,
            requires_zoom=True,
            doc_id=asked.doc_id,
            layout=asked.layout,
        )
        for asked in READERS["synthetic"].open(pages, "all").questions(0)
        if asked.span
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def write_downloaded(path: Path, rows: Sequence[dict[str, Any]], unit: str | None = "unit") -> Path:
    """A split as `download` leaves it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(str(path), names, lambda start, columns: rows[start:], len(rows), "revision")
    columns = DOCVQA.found_columns(Columns(), table)
    reading = Reading(columns, "xyxy", folder=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with RowWriter(path, SCHEMA) as writer:
        for number, row in enumerate(rows, start=1):
            question = DOCVQA.read({**dict.fromkeys(names), **row}, f"row {number}", reading)
            writer.add(as_row(question))
    path.with_suffix(".json").write_text(json.dumps({"box_unit": unit}))
    return path
