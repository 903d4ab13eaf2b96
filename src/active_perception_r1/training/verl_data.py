"""Training questions as verl reads them.

One row for each sample of the `grpo-data` file, in its order:

    data_source   string                 the study's name
    prompt        list<role, content>    the messages; `<image>` stands for the first view
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
                  mode                   that it is asked in
                  validation             whether it is validated on, and not trained on

The page itself stays in the `grpo-data` file, from which the agent loop reads it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.records import Sample
from active_perception_r1.sim.messages import Request
from active_perception_r1.storage.files import atomic
from active_perception_r1.tasks import DEFAULT_TASK
from active_perception_r1.training.questions import modes_by_turns

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
                    ("mode", pa.string()),
                    ("validation", pa.bool_()),
                ]
            ),
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class PromptLimit:
    """How long prompts may be: verl loses the episodes of one that is longer.

    Attributes:
        tokens: in a prompt, its image among them.
        count: of the prompt of a request.
    """

    tokens: int
    count: Callable[[Request], int]


def write_verl_data(
    samples: Path,
    usable: Collection[int],
    study: str,
    model: ModelConfig,
    limit: PromptLimit,
    output: Path,
    task: str = DEFAULT_TASK,
    modes: Sequence[str] = (ACTIVE,),
    validation: bool = False,
) -> None:
    """Write `output` from a `grpo-data` file, one row in memory at a time.

    Args:
        usable: positions in `samples` of those to write.
        modes: that they are asked in, by turns.
        validation: they are validated on.

    Raises:
        DataError: the file cannot be read, or a page in it; or prompts are too long.
    """
    rules = {mode: episode_rules(mode, model, task) for mode in modes}
    lengths: dict[str, int] = {}
    turns = modes_by_turns(modes)
    with atomic(output) as part, pq.ParquetWriter(part, SCHEMA) as writer:
        for index, sample in enumerate(read_slice(samples)):
            if index in usable:
                mode = next(turns)
                request = start_episode(sample, rules[mode]).request
                lengths[sample.id] = limit.count(request)
                row = _row(sample, study, request)
                row["extra_info"] = _extra_info(index, sample, task, mode, validation)
                writer.write_table(pa.Table.from_pylist([row], SCHEMA))
        _require_lengths(lengths, limit.tokens, samples)


def _require_lengths(lengths: Mapping[str, int], limit: int, samples: Path) -> None:
    longer = [id for id, tokens in lengths.items() if tokens > limit]
    if longer:
        longest = max(longer, key=lengths.__getitem__)
        raise DataError(
            f"{samples}: {len(longer)} of {len(lengths)} prompts exceed max_prompt_tokens"
            f" ({limit}); the longest, of sample '{longest}', has {lengths[longest]} tokens: raise"
            " max_prompt_tokens to that, or lower first_view.max_pixels of the base model"
        )


def _row(sample: Sample, study: str, request: Request) -> dict[str, Any]:
    (view,) = (image for message in request for image in message.images)
    encoded = io.BytesIO()
    view.save(encoded, "PNG")
    return {
        "data_source": study,
        "prompt": [
            {
                "role": message.role,
                "content": "".join(
                    part if isinstance(part, str) else "<image>" for part in message.parts
                ),
            }
            for message in request
        ],
        "images": [{"bytes": encoded.getvalue()}],
        "reward_model": {"style": "rule", "ground_truth": sample.answers[0]},
    }


def _extra_info(
    index: int, sample: Sample, task: str, mode: str, validation: bool
) -> dict[str, Any]:
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
        "mode": mode,
        "validation": validation,
    }
