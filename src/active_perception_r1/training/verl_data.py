"""Training questions as verl reads them.

One row for each sample of the `grpo-data` file, in its order:

    data_source   string                 the study's name
    prompt        list<role, content>    the first user message; `<image>` stands for the first view
    images        list<bytes>            the first view, PNG
    reward_model  style, ground_truth    "rule", and the first accepted answer
    extra_info    index                  place of the sample in the `grpo-data` file, from 0
                  id, doc_id             of the sample
                  task                   of the study, by name
                  answers                all accepted answers
                  options                to choose from, in their order; may be empty
                  evidence               JSON: [{label, box: [x0, y0, x1, y1] of the page, weight}]
                  requires_zoom          whether the first view cannot hold the answer
                  page_size              [width, height] of the page in pixels

The page itself stays in the `grpo-data` file, from which the agent loop reads it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.records import Sample
from active_perception_r1.storage.files import atomic
from active_perception_r1.tasks import DEFAULT_TASK

SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", pa.list_(pa.struct([("bytes", pa.binary())]))),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct(
                [
                    ("index", pa.int64()),
                    ("id", pa.string()),
                    ("doc_id", pa.string()),
                    ("task", pa.string()),
                    ("answers", pa.list_(pa.string())),
                    ("options", pa.list_(pa.string())),
                    ("evidence", pa.string()),
                    ("requires_zoom", pa.bool_()),
                    ("page_size", pa.list_(pa.int32())),
                ]
            ),
        ),
    ]
)


def write_verl_data(
    samples: Path,
    usable: Collection[int],
    study: str,
    model: ModelConfig,
    output: Path,
    task: str = DEFAULT_TASK,
) -> None:
    """Write `output` from a `grpo-data` file, one row in memory at a time.

    Args:
        usable: positions in `samples` of those to write.

    Raises:
        DataError: the file cannot be read, or a page in it.
    """
    with atomic(output) as part, pq.ParquetWriter(part, SCHEMA) as writer:
        for row in _rows(samples, usable, study, model, task):
            writer.write_table(pa.Table.from_pylist([row], SCHEMA))


def _rows(
    samples: Path, usable: Collection[int], study: str, model: ModelConfig, task: str
) -> Iterator[dict[str, Any]]:
    rules = episode_rules(ACTIVE, model, task)
    for index, sample in enumerate(read_slice(samples)):
        if index not in usable:
            continue
        (opening,) = start_episode(sample, rules).request
        (view,) = opening.images
        encoded = io.BytesIO()
        view.save(encoded, "PNG")
        text = "".join(part if isinstance(part, str) else "<image>" for part in opening.parts)
        yield {
            "data_source": study,
            "prompt": [{"role": opening.role, "content": text}],
            "images": [{"bytes": encoded.getvalue()}],
            "reward_model": {"style": "rule", "ground_truth": sample.answers[0]},
            "extra_info": _extra_info(index, sample, task),
        }


def _extra_info(index: int, sample: Sample, task: str) -> dict[str, Any]:
    evidence = [
        {"label": region.label, "box": astuple(region.box), "weight": region.weight}
        for region in sample.evidence
    ]
    return {
        "index": index,
        "id": sample.id,
        "doc_id": sample.doc_id,
        "task": task,
        "answers": list(sample.answers),
        "options": list(sample.options),
        "evidence": json.dumps(evidence),
        "requires_zoom": sample.requires_zoom,
        "page_size": [sample.width, sample.height],
    }
