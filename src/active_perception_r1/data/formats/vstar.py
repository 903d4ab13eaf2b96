"""V*Bench: folders with a JSON and a JPEG for each question.

The first option is the right one. So the options are shuffled, by the dataset's `option_seed` and
the question's id; where each stood is kept in the downloaded split, as `option_order`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from active_perception_r1.config.sources import BoxUnit
from active_perception_r1.config.sources._table import BoxFormat, TableDataset
from active_perception_r1.data import values
from active_perception_r1.data.choices import check_options
from active_perception_r1.data.formats._format import About, Format, Opened, Split
from active_perception_r1.data.questions import Question, Region
from active_perception_r1.errors import DataError

SPLITS = {
    "test": ("direct_attributes", "relative_position"),
    "direct_attributes": ("direct_attributes",),
    "relative_position": ("relative_position",),
}
"""The folders of each split; the 191 questions that results are published on are `test`."""


class VStar(Format):
    """Evidence is the boxes of all target objects; `layout` is the category."""

    box_format: ClassVar[BoxFormat] = "xywh"
    box_unit: ClassVar[BoxUnit | None] = "pixels"
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/craigwu/vstar_bench",
        citation="P. Wu and S. Xie. V*: Guided Visual Search as a Core Mechanism in Multimodal"
        " LLMs. CVPR 2024",
    )
    task: ClassVar[str] = "multiple_choice"

    def splits(self, source: Opened) -> list[str]:
        return list(SPLITS)

    def open(self, source: Opened, dataset: TableDataset, split: str) -> Split:
        if split not in SPLITS:
            raise DataError(f"{dataset.name}: no split '{split}'; there are: {', '.join(SPLITS)}")
        folder = source.folder()
        files: list[Path] = []
        for category in SPLITS[split]:
            found = sorted((folder.path / category).glob("*.json"))
            if not found:
                raise DataError(f"{folder.path / category}: no questions here (*.json)")
            files += found
        read = partial(self._read, option_seed=dataset.option_seed)

        def questions(start: int) -> Iterator[Question]:
            return map(read, files[start:])

        return Split(questions, len(files), folder.revision, self.box_unit, self.about)

    def _read(self, file: Path, option_seed: int) -> Question:
        """The question of a file; one that says why where it cannot be used."""
        category, id = file.parent.name, f"{file.parent.name}/{file.stem}"
        try:
            row = json.loads(file.read_bytes())
            right, *others = values.named("options", values.texts, row["options"])
            options = (right, *others)
            values.named("options", check_options, options)
            order = _shuffled(len(options), f"{option_seed}/{id}")
            return Question(
                id=id,
                question=values.named("question", values.text, row["question"]),
                image=values.page(f"{file.stem}.jpg", file.parent),
                answers=(right,),
                layout=category,
                options=tuple(options[place] for place in order),
                option_order=order,
                evidence=self._evidence(row),
            )
        except KeyError as error:
            return Question(id, unusable=f"{file.name} has no {error}")
        except (TypeError, ValueError) as error:
            return Question(id, unusable=f"{file.name}: {error}")

    def _evidence(self, row: Any) -> tuple[Region, ...]:
        """All of the boxes, by the names of their objects."""
        boxes = values.named("bbox", values.boxes, row["bbox"], self.box_format)
        return tuple(map(Region, _names(row.get("target_object"), len(boxes)), boxes))


def _names(given: Any, count: int) -> Sequence[str]:
    """Different ones: regions with one name would be alternatives."""
    names = values.named("target_object", values.texts, given)
    if len(names) == count == len(set(names)):
        return names
    return [str(number) for number in range(1, count + 1)]


def _shuffled(count: int, seed: str) -> tuple[int, ...]:
    return tuple(random.Random(seed).sample(range(count), count))


FORMAT = VStar()
