"""TreeBench: four options, and the boxes of all objects that the question is about."""

from __future__ import annotations

from typing import ClassVar

from active_perception_r1.config.sources import BoxUnit
from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import TableFormat


class TreeBench(TableFormat):
    """Boxes in pixels, as a list written as text; `layout` is the category."""

    columns: ClassVar[Columns] = Columns(
        id="index",
        image="image",
        question="question",
        options=["A", "B", "C", "D"],
        answers="answer",
        evidence="target_instances",
        layout="category",
    )
    letters: ClassVar[bool] = True
    box_unit: ClassVar[BoxUnit | None] = "pixels"
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/HaochenWang/TreeBench",
        license="Apache-2.0",
        citation="H. Wang et al. Traceable Evidence Enhanced Visual Grounded Reasoning: Evaluation"
        " and Methodology. arXiv:2507.07999",
    )
    task: ClassVar[str] = "multiple_choice"


FORMAT = TreeBench()
