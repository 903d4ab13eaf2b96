"""ChartQA, as lmms-eval's organisation on the hub has it."""

from __future__ import annotations

from typing import ClassVar

from active_perception_r1.config.sources._table import Columns
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import TableFormat


class ChartQa(TableFormat):
    """No boxes; `layout` is who asked: human_test or augmented_test."""

    columns: ClassVar[Columns] = Columns(
        image="image", question="question", answers="answer", layout="type"
    )
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/lmms-lab-encoder/ChartQA",
        citation="A. Masry et al. ChartQA: A Benchmark for Question Answering about Charts with"
        " Visual and Logical Reasoning. Findings of ACL 2022",
    )
    task: ClassVar[str] = "relaxed"


FORMAT = ChartQa()
