"""Models, and how they are run and shown a page."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from active_perception_r1.config.section import Section, known
from active_perception_r1.families import FAMILIES, Family
from active_perception_r1.prompts import PROMPT_SETS
from active_perception_r1.registry import Registry
from active_perception_r1.utils.trace_parser import SYNTAXES

# Named, not imported: engines stand above the configuration, and bring what takes long to load.
BACKENDS: Registry[object] = Registry("active_perception_r1.models.backends", "BACKEND")


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


class VllmConfig(Section):
    """Options of vLLM's engine, by its own names. `enforce_eager` starts faster and runs slower."""

    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    max_model_len: int | None = Field(default=None, gt=0)
    enforce_eager: bool = False


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give a URL such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError("no user, password or query here; a key belongs into the environment")
    return url


def _variable_name(name: str) -> str:
    if not re.fullmatch("[A-Z_][A-Z0-9_]{0,63}", name):  # The message must not repeat a key.
        raise ValueError(
            "give the name of an environment variable, such as OPENAI_API_KEY, never the key"
        )
    return name


class OpenAIConfig(Section):
    """A server that speaks OpenAI's chat completions, and how patiently it is asked.

    Attributes:
        model: its name there; the entry's `id` if none is given.
        concurrency: requests under way at once.
        timeout_seconds: for one try of one request.
        retries: after failures that may pass, with growing pauses or those the server asks for.
        api_key_env: environment variable that holds the key.
    """

    base_url: Annotated[str, AfterValidator(_without_credentials)]
    model: str | None = None
    concurrency: int = Field(default=16, gt=0)
    timeout_seconds: float = Field(default=120.0, gt=0)
    retries: int = Field(default=5, ge=0)
    api_key_env: Annotated[str, AfterValidator(_variable_name)] | None = None


class ModelConfig(Section):
    """One model and how it is run.

    Attributes:
        revision: commit, branch or tag on the hub; null is the commit found at the first use.
        family: what of `families` holds for it; null if nothing does.
        tensor_parallel: GPUs that share each layer (vllm); null is all of `gpus`.
        device_map: how accelerate spreads the layers over the GPUs (transformers).
        max_images: more images than this the model cannot take in one conversation.
    """

    id: str
    revision: str | None = None
    family: Annotated[str, known(FAMILIES)] | None = None
    backend: Annotated[str, known(BACKENDS)] = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    gpus: int = Field(default=1, ge=0)
    tensor_parallel: int | None = Field(default=None, gt=0)
    device_map: Literal["auto", "balanced", "sequential"] | None = None
    vllm: VllmConfig = VllmConfig()
    openai: OpenAIConfig | None = None
    zoom_syntax: Annotated[str, known(SYNTAXES)] = "zoom_roi"
    prompts: Annotated[str, known(PROMPT_SETS)] = "standard"
    chat_template_kwargs: dict[str, bool | int | float | str] = Field(
        default={},
        description="Options of the model's chat template, such as `enable_thinking: false`.",
    )
    first_view: FirstView
    crop: CropConfig
    max_images: int | None = Field(default=None, gt=0)
    max_zooms: int = Field(default=3, gt=0)
    max_turns: int = Field(default=4, gt=1)
    max_new_tokens: int = Field(default=512, gt=0)
    batch_size: int = Field(default=16, gt=0)
    max_concurrent_episodes: int = Field(default=64, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0

    def images(self, zooming: bool) -> int:
        """The most images in one conversation: the first view, and one for each zoom."""
        return 1 + self.max_zooms if zooming else 1

    @property
    def most_images(self) -> int:
        """As many as a conversation in any mode may hold."""
        return min(self.images(zooming=True), self.max_images or self.images(zooming=True))

    def without_room(self, zooming: bool) -> str:
        """Why a conversation cannot hold its images and replies; empty if it can."""
        images = self.images(zooming)
        zooms = f"the first view and {images - 1} zooms are {images} images"
        if self.max_images is not None and images > self.max_images:
            return f"{zooms}, but it takes {self.max_images}; lower max_zooms, or leave zooming out"
        family = FAMILIES.get(self.family or "", Family(()))
        context = self.vllm.max_model_len if self.backend == "vllm" else None
        context = min((size for size in (context, family.context) if size), default=None)
        shown = family.tokens(self.first_view.max_pixels)
        shown += (images - 1) * family.tokens(self.crop.max_pixels)
        written = (self.max_turns if zooming else 1) * self.max_new_tokens
        if context is not None and shown + written >= context:
            return (
                f"{shown} tokens of {images} images and {written} of replies do not fit into its"
                f" {context}; lower max_zooms, max_new_tokens or the pixel budgets"
            )
        return ""

    @model_validator(mode="after")
    def _can_answer(self) -> Self:
        if self.max_turns <= self.max_zooms:
            raise ValueError(
                f"max_turns ({self.max_turns}) must exceed max_zooms ({self.max_zooms}),"
                " or there is no turn left to answer in"
            )
        return self

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        if self.backend == "openai" and self.openai is None:
            raise ValueError("backend openai needs a section openai with a base_url")
        if self.backend == "openai" and self.gpus:
            raise ValueError("backend openai takes no GPU here, the server has it: set gpus to 0")
        if self.tensor_parallel is not None and self.tensor_parallel > max(self.gpus, 1):
            raise ValueError(f"tensor_parallel ({self.tensor_parallel}) exceeds gpus ({self.gpus})")
        return self

    @model_validator(mode="after")
    def _can_ask(self) -> Self:
        if self.prompts == "native" and SYNTAXES[self.zoom_syntax].tool is None:
            functions = ", ".join(name for name in SYNTAXES if SYNTAXES[name].tool)
            raise ValueError(
                f"prompts native need a zoom_syntax that calls a function ({functions}), and"
                f" {self.zoom_syntax} does not"
            )
        return self

    @model_validator(mode="after")
    def _suits_family(self) -> Self:
        multiple = FAMILIES[self.family].multiple if self.family else 1
        for name, view in (("first_view", self.first_view), ("crop", self.crop)):
            if view.multiple % multiple or view.max_pixels < multiple**2:
                raise ValueError(
                    f"family {self.family} takes sides that are multiples of {multiple} pixels:"
                    f" set {name}.multiple to {multiple}, and {name}.max_pixels to at least"
                    f" {multiple**2}"
                )
        return self
