"""Slices."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.section import Known, Name, Section
from active_perception_r1.registry import Registry

# Named, not imported: they stand above.
NEEDS: Registry[object] = Registry("active_perception_r1.data.needs", "NEED")


class SliceConfig(Section):
    """Which questions are asked, and how it is told which of them need a zoom."""

    decisive = Decisive(
        ("split", "samples", "seed"), added={"requires_zoom": "area", "legible_pixels": None}
    )

    split: Name = Field(default="test", description="split that they are drawn from")
    samples: int = Field(default=300, gt=0, description="how many; fewer if there are fewer")
    seed: int = Field(default=29, description="of the draw; a larger draw contains a smaller one")
    requires_zoom: Annotated[str, Known(NEEDS)] = Field(
        default="area",
        description="what tells which need a zoom, where the dataset does not; in training, too",
    )
    legible_pixels: int | None = Field(
        default=None,
        gt=0,
        description="with requires_zoom: legibility, pixels of the first view in which is read",
    )

    @property
    def need(self) -> dict[str, Any]:
        """What decides which questions need a zoom; nothing where it is what it always was."""
        return self.deciding(without=("split", "samples", "seed"))

    @model_validator(mode="after")
    def _has_pixels_where_it_reads(self) -> Self:
        reads = self.requires_zoom == "legibility"
        if reads and self.legible_pixels is None:
            raise ValueError(
                "requires_zoom: legibility needs legible_pixels, the pixels of the first view in"
                " which answers are looked for"
            )
        if self.legible_pixels is not None and not reads:
            raise ValueError("legible_pixels is only for requires_zoom: legibility")
        return self
