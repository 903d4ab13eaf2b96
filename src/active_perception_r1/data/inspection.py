"""What is understood of a dataset: all of its rows, read as a study would read them."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from active_perception_r1.config import BoxUnit, Dataset
from active_perception_r1.data.download import download
from active_perception_r1.data.questions import read_questions
from active_perception_r1.data.slices import as_sample
from active_perception_r1.data.sources import READERS
from active_perception_r1.errors import DataError
from active_perception_r1.records import Sample
from active_perception_r1.tasks import TASKS

SHOWN = 12
"""Questions whose pages a person is shown."""


@dataclass(slots=True)
class SplitFindings:
    """What was found in one split.

    Attributes:
        name: of the split; empty where one table serves every split.
        box_unit: None where there are no boxes.
        reasons: why rows cannot be used, with their number; `example` has the id of one for each.
        shown: some of the usable questions, in no particular order.
    """

    name: str
    rows: int = 0
    usable: int = 0
    pages: set[str] = field(default_factory=set)
    box_unit: BoxUnit | None = None
    box_unit_set_by: str = ""
    with_evidence: int = 0
    with_options: int = 0
    require_zoom: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)
    shown: list[Sample] = field(default_factory=list)


def inspect(dataset: Dataset) -> Iterator[SplitFindings]:
    """Reads every row of every split.

    Raises:
        DataError: the dataset cannot be read, or its columns do not hold what they should.
    """
    splits = READERS[dataset.source].splits(dataset)
    for split in [""] if splits is None else splits:
        yield _inspect_split(dataset, split)


def _inspect_split(dataset: Dataset, split: str) -> SplitFindings:
    found = SplitFindings(split)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "split.parquet"
        download(dataset, split, path)
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found.box_unit, found.box_unit_set_by = about["box_unit"], about["box_unit_set_by"]
        found.shown = heapq.nsmallest(SHOWN, _usable(path, found), key=_shuffled)
    return found


def _usable(path: Path, found: SplitFindings) -> Iterator[Sample]:
    """The questions that can be used; keeps the record of all."""
    ids: set[str] = set()
    for question in read_questions(path):
        found.rows += 1
        try:
            sample = as_sample(question, found.box_unit)
            if sample.id in ids:
                raise DataError("its id occurs twice")
        except DataError as error:
            found.reasons[str(error)] += 1
            found.example.setdefault(str(error), question.id)
            continue
        ids.add(sample.id)
        found.usable += 1
        found.pages.add(sample.doc_id)
        found.with_evidence += bool(sample.evidence)
        found.with_options += bool(sample.options)
        found.require_zoom += sample.requires_zoom
        found.sizes.append((sample.width, sample.height))
        yield sample


def _shuffled(sample: Sample) -> bytes:
    return sha256(sample.id.encode()).digest()


def as_text(found: SplitFindings) -> str:
    """The findings, for a person to read."""
    lines = [
        f"{found.name or 'every split'}: {found.rows} rows, {found.usable} can be used, about"
        f" {len(found.pages)} pages"
    ]
    if found.sizes:
        widths, heights = zip(*found.sizes, strict=True)
        lines.append(
            f"  sizes of pages: {min(widths)} to {max(widths)} by {min(heights)} to {max(heights)}"
            " pixels"
        )
    unit = f"{found.box_unit}, by the {found.box_unit_set_by}" if found.box_unit else "no boxes"
    lines += [
        f"  unit of boxes: {unit}",
        f"  with evidence: {found.with_evidence}; of these require a zoom: {found.require_zoom}",
        f"  with options: {found.with_options}",
    ]
    for reason, count in found.reasons.most_common():
        lines.append(f"  left out: {count}, such as '{found.example[reason]}': {reason}")
    if found.with_evidence < found.usable:
        lines.append(
            f"  without evidence: {found.usable - found.with_evidence}; in training, the relevance"
            " of their zooms will always be 0, and oracle cannot be run on them"
        )
    return "\n".join(lines)


def as_study(dataset: Dataset, findings: list[SplitFindings]) -> str:
    """A study of the dataset, to paste into a configuration."""
    said = dataset.model_dump(mode="json", exclude_defaults=True)
    own = type(dataset).__annotations__  # Where it is comes first, then how it is laid out.
    entry = {key: said[key] for key in sorted(said, key=lambda key: key not in own)}
    first = findings[0]
    slice = {"split": first.name} if first.name else {}
    unsaid = first.with_options and not TASKS[dataset.task].shows_options
    task = {"task": "multiple_choice"} if unsaid else {}
    study = {
        "dataset": entry,
        **task,
        "slice": {**slice, "samples": min(first.usable, 300)},
        "models": ["tiny-zoom-vlm"],
        "modes": ["baseline", "active"] + ["oracle"] * bool(first.with_evidence),
    }
    lines = ["study: mine", "studies:", "  mine:"]
    for key, value in study.items():
        flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
        written = flow.removesuffix("...\n").strip()
        lines.append(f"    {key}: {written}")
    return "\n".join(lines)
