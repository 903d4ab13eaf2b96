"""Models, and how they are run and shown a page."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from active_perception_r1.config.section import Section, known
from active_perception_r1.prompts import PROMPT_SETS
from active_perception_r1.utils.trace_parser import SYNTAXES


class FirstView(Section):
    """What a model is shown first: the page shrunk to `max_pixels`, sides rounded to `multiple`."""

    max_pixels: int = Field(gt=0)
    multiple: int = Field(default=1, gt=0)


class CropConfig(Section):
    """What a zoom gives: see `envs.zoom_simulator.CropRules`, which these values become."""

    max_pixels: int = Field(gt=0)
    multiple: int = Field(default=1, gt=0)
    max_aspect: float = Field(default=8.0, ge=1)
    min_area: float = Field(default=0.0005, ge=0, lt=1)
    max_area: float = Field(default=1.0, gt=0, le=1)


class ModelConfig(Section):
    """One model and how it is run."""

    id: str
    revision: str | None = None
    backend: Literal["transformers"] = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gpus: int = Field(default=1, ge=0)
    zoom_syntax: Annotated[str, known(SYNTAXES)] = "zoom_roi"
    prompts: Annotated[str, known(PROMPT_SETS)] = "standard"
    first_view: FirstView
    crop: CropConfig
    max_zooms: int = Field(default=3, gt=0)
    max_turns: int = Field(default=4, gt=1)
    max_new_tokens: int = Field(default=512, gt=0)
    batch_size: int = Field(default=16, gt=0)
    live_episodes: int = Field(default=64, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _can_answer(self) -> Self:
        if self.max_turns <= self.max_zooms:
            raise ValueError(
                f"max_turns ({self.max_turns}) must exceed max_zooms ({self.max_zooms}),"
                " or there is no turn left to answer in"
            )
        return self
