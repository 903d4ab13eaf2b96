"""HR-Bench 4K and 8K: four options, and each question four times with the options in other orders.

The four rows of a question show one image and so share their `doc_id`. The benchmark's number, the
mean of the accuracies in each `cycle_category`, is `cycle_accuracy` in the leaderboard; its mean of
`circular` wants all four of a question right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data import values
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import Reading, TableFormat
from active_perception_r1.data.questions import Question
from active_perception_r1.storage.rows import Row


class HrBench(TableFormat):
    """One row for each order of the options; `layout` is the category, single or cross."""

    columns: ClassVar[Columns] = Columns(
        id="index",
        image="image",
        question="question",
        options=["A", "B", "C", "D"],
        answers="answer",
        layout="category",
    )
    may_have: ClassVar[tuple[str, ...]] = ("cycle_category",)
    letters: ClassVar[bool] = True
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/DreamMr/HR-Bench",
        citation="W. Wang et al. Divide, Conquer and Combine: A Training-Free Framework for"
        " High-Resolution Image Perception in Multimodal Large Language Models. arXiv:2408.15556",
    )
    task: ClassVar[str] = "multiple_choice"

    def question(self, row: Row, reading: Reading) -> Question:
        cycle = values.named("cycle_category", values.text, row.get("cycle_category"))
        return replace(super().question(row, reading), cycle=cycle)


FORMAT = HrBench()
