"""How much memory a run of the local engine takes, computed before it starts.

Of P weights of which T are trained, in bytes each d as loaded and w as multiplied:

    weights     P d with an adapter, which adds its own T 4; else (P - T) d + T 4
    training    12 T: a gradient and AdamW's two moments; w T for the copies that are multiplied
    reference   P d, if there is a copy to diverge from
    update      n tokens of a micro-batch through L layers of widths h and i: L n h for what is kept
                between them, and what one of them keeps inside, or all L without recomputation;
                with it the distributions over the vocabulary
    rollout     keys and values of the conversations in a batch, and one layer's values

What a layer keeps inside was counted in the source of Qwen2.5-VL's: about 24 values of width h and
4 of width i for each token; with an adapter 6 and 1 more. It is a lower bound: the one time
that it was measured on a GPU, the peak was more than twice as high (docs/training.md).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.errors import TrainingError
from active_perception_r1.models.image_cache import processed
from active_perception_r1.models.weights import find_commit, image_options
from active_perception_r1.runtime.precision import fast_in_bfloat16
from active_perception_r1.training.freezing import LORA_RANK, lora_layers, lora_rank, recomputes

GIB = 2**30
_QUESTION = 256  # tokens of texts that are not the model's own
_CONTEXT = GIB  # bytes that CUDA and its libraries take for themselves
_CHUNK = 256 * 4 * 6  # bytes, for every word, of the distributions that are held at a time


@dataclass(frozen=True, slots=True)
class Shape:
    """What the memory of a run depends on.

    Attributes:
        weights, trained: parameters, and those of them (or of the adapter) that are trained.
        stored, multiplied: bytes of a weight as loaded, and in a product.
        adapted: an adapter is trained.
        reference: a copy of the model is kept.
        recomputes: activations are computed again.
        layers, width, inner, cached, words: of the language model: `cached` is the width of keys.
        tokens, written: of the longest conversation, and those of them that the model wrote.
    """

    weights: int
    trained: int
    stored: int
    multiplied: int
    adapted: bool
    reference: bool
    recomputes: bool
    layers: int
    width: int
    inner: int
    cached: int
    words: int
    tokens: int
    written: int

    @property
    def standing(self) -> int:
        """Bytes that are taken all the time."""
        loaded = self.weights * self.stored
        trained = self.trained * (16 + self.multiplied % 4)
        replaced = 0 if self.adapted else self.trained * self.stored
        return loaded + trained - replaced + (loaded if self.reference else 0)

    def update(self, rows: int) -> int:
        """Bytes that come and go in an update, with so many conversations at once."""
        residual = self.stored if self.adapted else 4
        between = self.layers * self.width * residual
        wide, inner = (30, 5) if self.adapted else (24, 4)
        inside = self.multiplied * (wide * self.width + inner * self.inner)
        backward = self.multiplied * (4 * self.width + 3 * self.inner)
        kept = between + inside if self.recomputes else self.layers * inside
        logits = 4 * self.multiplied if self.recomputes else 4 * self.multiplied + 20
        chunk = _CHUNK * self.words if self.recomputes else 0
        return rows * (self.tokens * (kept + backward) + self.written * self.words * logits) + chunk

    def rollout(self, rows: int) -> int:
        """Bytes that come and go in a generation of so many conversations at once."""
        cache = 2 * self.layers * self.cached
        return rows * self.tokens * self.multiplied * (cache + 6 * self.width + 4 * self.inner)

    def peak(self, updated: int, generated: int) -> int:
        """Bytes at most."""
        return self.standing + max(self.update(updated), self.rollout(generated))


def shape_of(run: TrainingConfig, base: ModelConfig) -> Shape:
    """Of a run, as far as its model's configuration tells; no weights are loaded.

    Raises:
        BackendError: the model is not there.
    """
    source: dict[str, Any] = {"revision": find_commit(base)}
    config = AutoConfig.from_pretrained(base.id, **source)
    text = config.get_text_config()
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)  # type: ignore[no-untyped-call]
    model.tie_weights()
    stored = _bytes_of(config.dtype if base.dtype == "auto" else getattr(torch, base.dtype))
    rank = lora_rank(run, model)
    halves = fast_in_bfloat16(torch.device("cuda" if _on_gpu(base) else "cpu"))
    head = text.hidden_size // text.num_attention_heads
    images = _image_tokens(base, source)
    written = base.max_turns * base.max_new_tokens
    return Shape(
        weights=model.num_parameters(),
        trained=_adapter(model, rank) if rank else _language(model),
        stored=stored,
        multiplied=2 if halves else max(stored, 4),
        adapted=rank > 0,
        reference=run.kl > 0 and not rank,
        recomputes=recomputes(run, model),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        inner=text.intermediate_size,
        cached=text.num_key_value_heads * (getattr(text, "head_dim", None) or head),
        words=text.vocab_size,
        tokens=_QUESTION + images + written,
        written=written,
    )


def micro_batch(name: str, run: TrainingConfig, base: ModelConfig) -> int:
    """Conversations at once in an update: as configured, else as many as fit. Says what it needs.

    Raises:
        TrainingError: not even one fits; with what would make it fit.
    """
    shape, room = shape_of(run, base), _room(base)
    sizes = [run.micro_batch] if run.micro_batch else _halved(base.batch_size)
    chosen = next((size for size in sizes if shape.peak(size, 1) <= room), None)
    if chosen is None:
        raise TrainingError(
            f"training.{name}: needs {shape.peak(sizes[-1], 1) / GIB:.1f} GiB of memory, and"
            f" {room / GIB:.1f} are free; {_cure(run, base, shape, room)}"
        )
    print(
        f"{name}: {shape.peak(chosen, base.batch_size) / GIB:.1f} GiB of memory computed,"
        f" {room / GIB:.1f} free: {shape.standing / GIB:.1f} for weights and optimiser,"
        f" {shape.update(chosen) / GIB:.1f} for updates of {chosen},"
        f" {shape.rollout(base.batch_size) / GIB:.1f} for rollouts of {base.batch_size}",
        file=sys.stderr,
    )
    return chosen


def _cure(run: TrainingConfig, base: ModelConfig, shape: Shape, room: int) -> str:
    """Keys of the run or of its base that make it fit, the least change first."""
    changes: dict[str, Any] = {}
    steps: list[tuple[str, Any, bool]] = [
        ("micro_batch", 1, run.micro_batch not in (None, 1)),
        ("gradient_checkpointing", True, not shape.recomputes),
        ("kl", 0, shape.reference),
        ("lora_rank", LORA_RANK, not shape.adapted),
    ]
    for key, value, helps in steps:
        if helps:
            changes[key] = value
            changed = shape_of(run.model_copy(update=changes), base)
            if changed.peak(1, 1) <= room:
                return "set " + ", ".join(f"{k} to {str(v).lower()}" for k, v in changes.items())
    tried = "".join(f"{key}: {str(value).lower()}, " for key, value in changes.items())
    precision = "dtype: bfloat16, " if shape.stored > 2 else ""
    return (
        f"take a larger GPU or a smaller base, or besides {tried}{precision}lower"
        " first_view.max_pixels, crop.max_pixels, max_zooms or max_new_tokens of the base"
    )


def _room(base: ModelConfig) -> int:
    """Bytes that this process may still take where the model will be."""
    if not _on_gpu(base):
        return psutil.virtual_memory().available
    devices = range(torch.cuda.device_count() if base.device_map else 1)
    return sum(map(_room_on, devices))


def _room_on(device: int) -> int:
    free, total = torch.cuda.mem_get_info(device)
    allowed = int(torch.cuda.get_per_process_memory_fraction(device) * total)
    return min(free, allowed) - _CONTEXT


def _on_gpu(base: ModelConfig) -> bool:
    return base.gpus > 0 and torch.cuda.is_available()


def _halved(size: int) -> list[int]:
    """It, half of it, and so on down to 1."""
    sizes = [size]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return sizes


def _language(model: Any) -> int:
    own = [*model.get_decoder().parameters(), *model.get_output_embeddings().parameters()]
    return sum({id(parameter): parameter.numel() for parameter in own}.values())


def _adapter(model: Any, rank: int) -> int:
    layers = (model.get_submodule(name) for name in lora_layers(model))
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers)


def _image_tokens(base: ModelConfig, source: dict[str, Any]) -> int:
    """Of the first view and every crop, at their largest."""
    processor: Any = AutoProcessor.from_pretrained(base.id, **source)  # type: ignore[no-untyped-call]
    for option, value in image_options(base, processor.image_processor).items():
        setattr(processor.image_processor, option, value)
    views = ((base.first_view, 1), (base.crop, base.max_zooms))
    return sum(
        times * _tokens_of(processor, view.max_pixels, view.multiple) for view, times in views
    )


def _tokens_of(processor: Any, pixels: int, multiple: int) -> int:
    side = max(1, int(math.sqrt(pixels)) // multiple) * multiple
    tokens = processed(processor, [[Image.new("RGB", (side, side))]], torch.device("cpu"))[1]
    return int(tokens["attention_mask"].sum())


def _bytes_of(dtype: torch.dtype | None) -> int:
    return (dtype or torch.float32).itemsize
