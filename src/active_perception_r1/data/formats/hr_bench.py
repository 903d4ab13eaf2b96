"""HR-Bench 4K and 8K: four options, and each question four times with the options in other orders.

The four rows of a question show one image and so share their `doc_id`. The benchmark's number is
the mean of the accuracies in each `cycle_category`, which is the plain accuracy where all four
orders of every question are asked; the metric `circular` wants all four of them right.
"""

from __future__ import annotations

from typing import ClassVar

from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import TableFormat


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
    letters: ClassVar[bool] = True
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/DreamMr/HR-Bench",
        citation="W. Wang et al. Divide, Conquer and Combine: A Training-Free Framework for"
        " High-Resolution Image Perception in Multimodal Large Language Models. arXiv:2408.15556",
    )
    task: ClassVar[str] = "multiple_choice"


FORMAT = HrBench()
