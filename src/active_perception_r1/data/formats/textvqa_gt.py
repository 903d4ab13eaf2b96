"""TextVQA with the box that the answer stands in."""

from __future__ import annotations

from typing import ClassVar

from active_perception_r1.config.sources import BoxUnit
from active_perception_r1.config.sources._table import BoxFormat, Columns
from active_perception_r1.data.formats._format import About
from active_perception_r1.data.formats._table import TableFormat


class TextVqaGt(TableFormat):
    """One box a question, in pixels; the answers are those of ten people, repeats and all."""

    columns: ClassVar[Columns] = Columns(
        id="dataset_id", image="image", question="question", answers="answer", evidence="bbox"
    )
    box_format: ClassVar[BoxFormat] = "xywh"
    box_unit: ClassVar[BoxUnit | None] = "pixels"
    about: ClassVar[About] = About(
        url="https://huggingface.co/datasets/jrzhang/TextVQA_GT_bbox",
        license="CC-BY-4.0 (of TextVQA)",
        citation="J. Zhang et al. MLLMs Know Where to Look: Training-free Perception of Small"
        " Visual Details with Multimodal LLMs. ICLR 2025. A. Singh et al. Towards VQA Models That"
        " Can Read. CVPR 2019",
    )
    task: ClassVar[str] = "vqa"


FORMAT = TextVqaGt()
