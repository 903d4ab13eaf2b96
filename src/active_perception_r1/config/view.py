"""What a model is shown of a page: the first view of it, and the crops."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from active_perception_r1.config.section import Section


class FirstView(Section):
    """What a model is shown first: the page, shrunk."""

    max_pixels: int = Field(gt=0, description="most pixels that it is shown")
    multiple: int = Field(default=1, gt=0, description="pixels that both sides are multiples of")


class CropConfig(Section):
    """What a zoom gives."""

    max_pixels: int = Field(
        gt=0, description="pixels of a crop, which is enlarged or shrunk to as many"
    )
    min_pixels: int | None = Field(
        default=None,
        gt=0,
        description="if set, a crop is enlarged only to as many pixels, and between the two keeps"
        " its own",
    )
    multiple: int = Field(default=1, gt=0, description="pixels that both sides are multiples of")
    max_aspect: float = Field(
        default=8.0, ge=1, description="longer boxes are widened to this ratio of their sides"
    )
    min_area: float = Field(
        default=0.0005, ge=0, lt=1, description="share of the page below which a box is too small"
    )
    max_area: float = Field(
        default=1.0, gt=0, le=1, description="share of the page above which a box is too large"
    )
    clamp: bool = Field(
        default=False,
        description="cut a box that reaches outside the page at its edge, instead of refusing it",
    )
    min_side: int = Field(
        default=1, gt=0, description="pixels of the page that a shorter side of a box is grown to"
    )

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.min_pixels is not None and self.min_pixels > self.max_pixels:
            raise ValueError(
                f"crop.min_pixels ({self.min_pixels}) exceeds crop.max_pixels ({self.max_pixels})"
            )
        return self
