"""Models, and how they are run and shown a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.decoding import DecodingConfig, VllmConfig
from active_perception_r1.config.paths import FolderOrName
from active_perception_r1.config.presets import PRESETS
from active_perception_r1.config.section import Known, Section
from active_perception_r1.config.server import OpenAIConfig, PriceConfig
from active_perception_r1.config.view import CropConfig, FirstView
from active_perception_r1.families import FAMILIES, family_of
from active_perception_r1.modes import MODES
from active_perception_r1.prompts import PROMPT_SETS
from active_perception_r1.registry import Registry
from active_perception_r1.sim.function_calls import reads_functions
from active_perception_r1.utils.trace_parser import SYNTAXES

# Named, not imported: engines stand above the configuration, and bring what takes long to load.
BACKENDS: Registry[object] = Registry("active_perception_r1.models.backends", "BACKEND")


class ModelConfig(Section):
    """One model and how it is run."""

    decisive = Decisive(
        keys=(
            "id",
            "revision",
            "family",
            "backend",
            "dtype",
            "vllm.max_model_len",
            "openai.base_url",
            "openai.model",
            "openai.extra_body",
            "chat_template_kwargs",
            "max_new_tokens",
            "decoding.temperature",
            "decoding.top_p",
            "decoding.top_k",
            "decoding.min_p",
            "decoding.repetition_penalty",
            "decoding.presence_penalty",
            "decoding.frequency_penalty",
            "seed",
        ),
        # As `modes.decisive_rules`; a preset as the values that it gives.
        otherwise=(
            "preset",
            "zoom_syntax",
            "prompts",
            "first_view",
            "crop",
            "max_zooms",
            "max_turns",
        ),
        # In float32 the last bits of a logit may differ between batches.
        mechanism=(
            "gpus",
            "tensor_parallel",
            "device_map",
            "max_images",
            "batch_size",
            "max_concurrent_episodes",
            "shards",
            "vllm.gpu_memory_utilization",
            "vllm.enforce_eager",
            "openai.token_limit",
            "openai.check_models",
            "openai.concurrency",
            "openai.timeout_seconds",
            "openai.retries",
            "openai.api_key_env",
            "price",
        ),
        added={"openai.omit": [], "openai.tools": "text", "openai.crop_role": "tool"},
    )

    id: FolderOrName = Field(description="repository on the hub, as owner/name, or a folder")
    preset: Annotated[str, Known(PRESETS)] | None = Field(
        default=None, description="published settings, which the entry's own keys override"
    )
    revision: str | None = Field(
        default=None,
        description="commit, branch or tag; null is the commit found at the first use",
    )
    family: Annotated[str, Known(FAMILIES)] | None = Field(
        default=None, description="what is known of its processor and context; null if nothing is"
    )
    backend: Annotated[str, Known(BACKENDS)] = Field(
        default="transformers", description="what generates its replies"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="precision of the weights; auto is the checkpoint's"
    )
    gpus: int = Field(default=1, ge=0, description="GPUs that it takes; 0 runs it on the CPU")
    tensor_parallel: int | None = Field(
        default=None, gt=0, description="GPUs that share each layer (vllm); null is all of `gpus`"
    )
    device_map: Literal["auto", "balanced", "sequential"] | None = Field(
        default=None,
        description="how accelerate spreads the layers over the GPUs (transformers)",
    )
    vllm: VllmConfig = Field(default=VllmConfig(), description="for backend vllm")
    openai: OpenAIConfig | None = Field(default=None, description="for backend openai")
    price: PriceConfig | None = Field(
        default=None, description="what its tokens cost; changing it runs no model again"
    )
    zoom_syntax: Annotated[str, Known(SYNTAXES)] = Field(
        default="zoom_roi", description="how it writes a zoom, and in which unit its boxes are"
    )
    prompts: Annotated[str, Known(PROMPT_SETS)] = Field(
        default="standard", description="the words in which it is asked"
    )
    chat_template_kwargs: dict[str, bool | int | float | str] = Field(
        default={},
        description="options of the model's chat template, such as `enable_thinking: false`",
    )
    first_view: FirstView = Field(description="how it is shown the page at first")
    crop: CropConfig = Field(description="what a zoom shows it")
    max_images: int | None = Field(
        default=None, gt=0, description="more than these it cannot take in one conversation"
    )
    max_zooms: int = Field(default=3, gt=0, description="zooms that an episode allows")
    max_turns: int = Field(default=4, gt=1, description="replies of an episode, the last included")
    max_new_tokens: int = Field(default=512, gt=0, description="length of one reply")
    batch_size: int = Field(default=16, gt=0, description="conversations generated at once")
    max_concurrent_episodes: int = Field(
        default=64, gt=0, description="episodes under way at once, from which batches are filled"
    )
    shards: int = Field(
        default=1,
        gt=0,
        description="jobs that a slice is split into, each with `gpus` of its own; changing it"
        " asks nothing again",
    )
    decoding: DecodingConfig = Field(
        default=DecodingConfig(), description="how the tokens of a reply are chosen"
    )
    seed: int = Field(default=0, description="of what is drawn")

    @model_validator(mode="before")
    @classmethod
    def _over_its_preset(cls, entry: Any) -> Any:
        if isinstance(entry, Mapping) and entry.get("preset") in PRESETS:
            return _merged(PRESETS[entry["preset"]], entry)
        return entry

    def deciding(self, without: Collection[str] = ()) -> dict[str, Any]:
        others = (name for name in BACKENDS if name != self.backend)  # each has its own section
        return super().deciding((*without, *others, *(("id",) if self._in_folder else ())))

    @property
    def _in_folder(self) -> bool:
        """Whether its weights are in a local folder: then what they are counts, not where."""
        return self.backend != "openai" and Path(self.id).is_dir()

    @property
    def environment(self) -> str:
        """Which file of `envs/` has its packages: vLLM brings its own torch and transformers."""
        return "vllm" if self.backend == "vllm" else "models"

    def images(self, zooming: bool) -> int:
        """The most images in one conversation: the first view, and one for each zoom."""
        return 1 + self.max_zooms if zooming else 1

    @property
    def most_images(self) -> int:
        """As many as a conversation in any mode may hold."""
        return min(self.images(zooming=True), self.max_images or self.images(zooming=True))

    def showing(self, mode: str) -> Self:
        """The entry by which an engine is to be set up for a mode: no image exceeds its budgets.

        A mode that goes by another one may show all at once what that one showed piece by piece.
        """
        family = family_of(self.family)
        if not MODES[mode].goes_by or family.fixed_resolution:
            return self
        pixels = self.first_view.max_pixels + self.max_zooms * self.crop.max_pixels
        view = self.first_view.model_copy(update={"max_pixels": pixels})
        return self.model_copy(update={"first_view": view})

    def without_room(self, zooming: bool) -> str:
        """Why a conversation cannot hold its images and replies; empty if it can."""
        images = self.images(zooming)
        zooms = f"the first view and {images - 1} zooms are {images} images"
        if self.max_images is not None and images > self.max_images:
            return f"{zooms}, but it takes {self.max_images}; lower max_zooms, or leave zooming out"
        family = family_of(self.family)
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

    def drawn_at(self, temperature: float) -> Self:
        """The same model with replies drawn at a temperature, decoding neutral otherwise."""
        return self.model_copy(update={"decoding": DecodingConfig(temperature=temperature)})

    @model_validator(mode="before")
    @classmethod
    def _names_what_moved(cls, entry: Any) -> Any:
        if isinstance(entry, Mapping) and "temperature" in entry:
            raise ValueError(
                "temperature is a key of the section decoding now; write"
                f" decoding: {{temperature: {entry['temperature']}}}"
            )
        return entry

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
        if self.openai and self.openai.tools == "native":
            readable = [name for name in SYNTAXES if reads_functions(SYNTAXES[name])]
            if self.prompts != "native" or self.zoom_syntax not in readable:
                raise ValueError(
                    "openai.tools native needs prompts native, which declare the tool, and a"
                    f" zoom_syntax whose calls are JSON ({', '.join(readable)})"
                )
        return self

    @model_validator(mode="after")
    def _suits_family(self) -> Self:
        multiple = family_of(self.family).multiple
        for name, view in (("first_view", self.first_view), ("crop", self.crop)):
            if view.multiple % multiple or view.max_pixels < multiple**2:
                raise ValueError(
                    f"family {self.family} takes sides that are multiples of {multiple} pixels:"
                    f" set {name}.multiple to {multiple}, and {name}.max_pixels to at least"
                    f" {multiple**2}"
                )
        return self


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, section by section; what both have is as in `above`."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            merged[key] = _merged(below[key], above[key])
    return merged
