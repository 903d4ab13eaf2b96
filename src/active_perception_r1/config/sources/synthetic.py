"""Pages drawn by this package."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.sources._dataset import Dataset


class SyntheticDataset(Dataset):
    """Pages drawn by this package: forms, tables and charts, one question a page.

    A quarter of the questions is about a value in large print, which needs no zoom.
    """

    decisive = Decisive(("source", "seed", "questions"))

    source: Literal["synthetic"] = Field(description="where pages and questions come from")
    seed: int = Field(default=0, description="another seed draws other pages")
    questions: dict[str, Annotated[int, Field(gt=0)]] = Field(
        default={"train": 1000, "validation": 120, "test": 400},
        description="number of questions of each split",
    )

    @property
    def name(self) -> str:
        return "synthetic pages"

    @property
    def splits(self) -> Collection[str]:
        return self.questions.keys()

    def of_split(self, split: str) -> Self:
        return self.model_copy(update={"questions": {split: self.questions[split]}})

    @classmethod
    def meant_by(cls, text: str, split: str, samples: int) -> dict[str, Any] | None:
        return {"source": text, "questions": {split: samples}} if text == "synthetic" else None


SOURCE = SyntheticDataset
