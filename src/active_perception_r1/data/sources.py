"""Brings one split of a dataset to disk, in one layout whatever its source.

Beside `{split}.parquet` stands `{split}.json`: where the rows came from, at which revision, how
many there are, and the unit of their word boxes with the counts that it rests on.
"""

from __future__ import annotations

import io
import random
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from active_perception_r1.data import docvqa
from active_perception_r1.data.boxes import BoxSurvey
from active_perception_r1.data.docvqa import Row, RowWriter, Source, unknown_split
from active_perception_r1.data.files import atomic, sha256_of, write_json
from active_perception_r1.data.pages import size_by_head
from active_perception_r1.data.synthetic import LAYOUTS, render_page
from active_perception_r1.errors import DataError

# Only for types: this stage must not depend on prompts and models, which the configuration names.
if TYPE_CHECKING:
    from active_perception_r1.config import DatasetConfig, ParquetDataset, SyntheticDataset


def download(dataset: DatasetConfig, split: str, output: Path) -> None:
    """Writes one split of a dataset to `output`, and what is known about it to a JSON beside it.

    Memory does not grow with the number of rows.

    Raises:
        DataError: the data cannot be reached, has no such split, lacks columns or rows, or its word
            boxes are in no clear unit.
    """
    where = f"{_name(dataset)}, split {split}"
    source = _open(dataset, split)
    survey, rows = BoxSurvey(), 0
    override = None if dataset.source == "synthetic" else dataset.box_unit
    with atomic(output) as part:
        with RowWriter(part, docvqa.SCHEMA) as writer:
            for raw in tqdm(source.rows, total=source.total, desc=where, unit="row"):
                row = docvqa.normalised(raw)
                survey.add(row["bounding_boxes"] or (), partial(size_by_head, row["image"]))
                writer.add(row)
                rows += 1
        if rows == 0:
            raise DataError(f"{where}: there are no rows")
        unit = survey.decide(override, where)
    about = {
        "dataset": dataset.model_dump(mode="json"),
        "split": split,
        "revision": source.revision,
        "rows": rows,
        "box_unit": unit,
        "box_unit_set_by": "configuration" if override else "data",
        "boxes": survey.counts(),
        "sha256": sha256_of(output),
    }
    write_json(output.with_suffix(".json"), about)


def _name(dataset: DatasetConfig) -> str:
    match dataset.source:
        case "synthetic":
            return "synthetic pages"
        case "hub":
            return dataset.id
        case "parquet":
            return str(dataset.path)


def _open(dataset: DatasetConfig, split: str) -> Source:
    match dataset.source:
        case "synthetic":
            return _synthetic(dataset, split)
        case "hub":
            # Imported here: `datasets` takes a second to load, which only this source needs.
            from active_perception_r1.data.hub import open_hub

            return open_hub(dataset.id, dataset.revision, split)
        case "parquet":
            return _parquet(dataset, split)


def _synthetic(dataset: SyntheticDataset, split: str) -> Source:
    if split not in dataset.questions:
        raise unknown_split("synthetic pages", split, dataset.questions)
    total = dataset.questions[split]
    rows = (_synthetic_row(dataset.seed, split, index) for index in range(total))
    return Source(rows, total, f"seed {dataset.seed}")


def _synthetic_row(seed: int, split: str, index: int) -> Row:
    """One question about a page of its own; the split is part of the seed, so none share a page."""
    rng = random.Random(f"{seed}/{split}/{index}")
    page = render_page(rng, LAYOUTS[index % len(LAYOUTS)])
    question = rng.choice(page.questions)
    encoded = io.BytesIO()
    # Run lengths suit flat colours: as small as the default level, in two thirds of its time.
    page.image.save(encoded, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    name = f"{split}-{index:06d}"
    return {
        "id": name,
        "image": encoded.getvalue(),
        "query": {"en": question.text},
        "answers": [question.answer],
        "words": [word.text for word in page.words],
        "bounding_boxes": [word.box.as_tuple() for word in page.words],
        "answer": {
            "match_score": 1.0,
            "matched_text": question.answer,
            "start": question.word_index,
            "text": question.answer,
        },
        "doc_id": name,
        "layout": page.layout,
        "requires_zoom": True,
        "exact_span": True,
    }


def _parquet(dataset: ParquetDataset, split: str) -> Source:
    path = dataset.path
    if path.is_dir():
        path = dataset.path / f"{split}.parquet"
        if not path.exists():
            available = sorted(file.stem for file in dataset.path.glob("*.parquet"))
            raise unknown_split(str(dataset.path), split, available)
    with docvqa.open_parquet(path) as file:
        docvqa.check_columns(file.schema_arrow, str(path))
        total = file.metadata.num_rows
    return Source(docvqa.read_rows(path), total, sha256_of(path))
