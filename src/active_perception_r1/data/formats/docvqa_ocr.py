"""DocVQA with the words of Microsoft's OCR, as pixparse has it on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from active_perception_r1.config.sources import BoxUnit
from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data import values
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import Reading, TableFormat
from active_perception_r1.data.questions import Question
from active_perception_r1.envs.encoded_page import size_by_head
from active_perception_r1.storage.rows import Row

SAME_SHAPE = 0.02
"""Most relative difference between the aspects of the page and of what OCR saw of it."""


class DocVqaOcr(TableFormat):
    """Evidence is searched for among the words; the boxes become shares of what OCR saw."""

    columns: ClassVar[Columns] = Columns(
        id="question_id", image="image", question="question", answers="answers"
    )
    also: ClassVar[tuple[str, ...]] = ("ocr_results",)
    box_unit: ClassVar[BoxUnit | None] = "unit"
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/pixparse/docvqa-single-page-questions",
        license="MIT",
        citation="M. Mathew, D. Karatzas and C. V. Jawahar. DocVQA: A Dataset for VQA on Document"
        " Images. WACV 2021",
    )
    task: ClassVar[str] = "anls"

    def question(self, row: Row, reading: Reading) -> Question:
        question = super().question(row, reading)
        return question.with_words(
            values.named("ocr_results", _words, row.get("ocr_results"), question.image)
        )


def _words(ocr: Any, image: bytes) -> list[tuple[str, tuple[float, ...]]]:
    """Words in the order of their lines, with boxes as shares of the page."""
    if values.is_nothing(ocr):
        return []
    if not isinstance(ocr, Mapping) or not ocr.get("width") or not ocr.get("height"):
        raise ValueError("not a struct with width, height and lines")
    width, height = float(ocr["width"]), float(ocr["height"])
    size = size_by_head(image)
    if size and abs(size[0] * height / (size[1] * width) - 1) > SAME_SHAPE:
        raise ValueError(
            f"it is of a page of {width:g} x {height:g}, but the page is {size[0]} x {size[1]}:"
            " turned or cut"
        )
    try:
        return [
            (values.text(word["text"]), _box(word["bounding_box"], width, height))
            for line in ocr.get("lines") or ()
            for word in line.get("words") or ()
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a word without text or bounding_box ({error!r})") from None


def _box(corners: Any, width: float, height: float) -> tuple[float, ...]:
    """Around the four corners of a word, given as x1 y1 to x4 y4."""
    if not isinstance(corners, list) or len(corners) != 8:
        raise ValueError(f"{corners!r} are not the four corners of a word")
    xs, ys = corners[0::2], corners[1::2]
    return min(xs) / width, min(ys) / height, max(xs) / width, max(ys) / height


FORMAT = DocVqaOcr()
