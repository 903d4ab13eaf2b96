"""InfographicVQA, as lmms-eval's organisation on the hub has it, with the words of Textract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from active_perception_r1.config.sources import BoxUnit
from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data import values
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import Reading, TableFormat
from active_perception_r1.data.questions import Question
from active_perception_r1.storage.rows import Row


class InfographicVqa(TableFormat):
    """Evidence is searched for among the words, whose boxes are shares of the page."""

    columns: ClassVar[Columns] = Columns(
        id="questionId", image="image", question="question", answers="answers"
    )
    may_have: ClassVar[tuple[str, ...]] = ("ocr",)
    box_unit: ClassVar[BoxUnit | None] = "unit"
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/lmms-lab-encoder/DocVQA",
        license="Apache-2.0",
        citation="M. Mathew et al. InfographicVQA. WACV 2022",
    )
    task: ClassVar[str] = "anls"

    def question(self, row: Row, reading: Reading) -> Question:
        question = super().question(row, reading)
        return question.with_words(values.named("ocr", _words, row.get("ocr")))


def _words(ocr: Any) -> list[tuple[str, tuple[float, ...]]]:
    """From the JSON of Textract: blocks in a list, or by their type."""
    if values.is_nothing(ocr):
        return []
    try:
        found = json.loads(ocr) if isinstance(ocr, str) else ocr
    except ValueError:
        raise ValueError("not valid JSON") from None
    if isinstance(found, Mapping):
        found = found.get("WORD", found.get("Blocks"))
    if not isinstance(found, list):
        raise ValueError("not the blocks of Textract")
    try:
        return [
            (values.text(block["Text"]), _box(block["Geometry"]["BoundingBox"]))
            for block in found
            if block.get("BlockType", "WORD") == "WORD"
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a word without Text or BoundingBox ({error!r})") from None


def _box(box: Mapping[str, float]) -> tuple[float, ...]:
    left, top = box["Left"], box["Top"]
    return left, top, left + box["Width"], top + box["Height"]


FORMAT = InfographicVqa()
