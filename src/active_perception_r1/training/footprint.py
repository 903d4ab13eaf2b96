"""How much memory a run of the local engine takes, computed before it starts.

Of P weights of which T are trained, in bytes each d as loaded and m as multiplied:

    weights     P d with an adapter, which adds its own T 4; else (P - T) d + T 4
    training    12 T: a gradient and AdamW's two moments; m T for the copies that are multiplied
    reference   P d, if there is a copy to diverge from
    images      what the vision tower made of those of a step, where it is kept (`image_cache`)
    update      n tokens of a micro-batch through L layers of widths h and i: L n h for what is kept
                between them, and what one of them keeps inside, or all L without recomputation;
                with it the distributions over the vocabulary
    rollout     keys and values of the conversations in a batch, and one layer's values; and of
                those that wait for their next turn, as far as they are kept (`prefix_cache`)
    encoding    one layer's values of the vision tower, of the images of a batch

What a layer keeps inside is, for each token: of its two norms the input in float32, and the output
where their weights are trained; queries, keys, values and their product, 4 h; the inputs of the
linear layers whose weights or adapters are trained, cast anew for each of them; and 3 i within the
gate. Attention that is not fused keeps a matrix of n x n for every head.
`tests/test_training_memory.py` counts the bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.models.image_cache import TAKES_ENCODED_IMAGES, processed
from active_perception_r1.models.prefix_cache import room
from active_perception_r1.models.weights import find_commit, image_options
from active_perception_r1.runtime.precision import fast_in_bfloat16
from active_perception_r1.training.freezing import lora_layers, lora_rank, recomputes

GIB = 2**30
_QUESTION = 256  # tokens of texts that are not the model's own
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
        heads: that each form a matrix of tokens x tokens; 0 where attention is fused.
        tokens, written: of the longest conversation, and those of them that the model wrote.
        patches, seen: of what is looked at together, one image or all of a conversation, and values
            of one layer for each patch.
        kept_images: bytes of what is kept of the images of a step.
        waiting: conversations of a step, whose keys and values are kept between their turns.
        room: bytes that these may take.
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
    heads: int
    tokens: int
    written: int
    patches: int
    seen: int
    kept_images: int
    waiting: int
    room: int

    @property
    def standing(self) -> int:
        """Bytes that are taken all the time."""
        loaded = self.weights * self.stored
        trained = self.trained * (16 + self.multiplied % 4)
        replaced = 0 if self.adapted else self.trained * self.stored
        copied = loaded if self.reference else 0
        return loaded + trained - replaced + copied + self.kept_images

    def kept(self, rows: int) -> int:
        """Bytes that a forward pass of so many conversations keeps for the backward one."""
        layers = self.layers * (self._between if self.recomputes else self._inside)
        last = self.tokens * self.width * self._norms // 2
        words = self.multiplied if self.recomputes else 4
        return rows * (layers + last + self.written * self.words * words)

    def update(self, rows: int) -> int:
        """Bytes that come and go in an update, with so many conversations at once."""
        layer = self.tokens * self.multiplied * (6 * self.width + 4 * self.inner)
        layer += 8 * self.heads * self.tokens**2
        if self.recomputes:
            layer += self._inside
            head = 3 * self.multiplied * self.written * self.words
            chunk = _CHUNK * self.words
        else:
            head = (3 * self.multiplied * self.tokens + 16 * self.written) * self.words
            chunk = 0
        return self.kept(rows) + rows * max(layer, head) + chunk

    def rollout(self, rows: int) -> int:
        """Bytes that come and go in a generation of so many conversations at once."""
        cache = self.tokens * self.multiplied * 2 * self.layers * self.cached
        layer = self.tokens * self.multiplied * (6 * self.width + 4 * self.inner)
        return rows * (cache + layer) + min(self.waiting * cache, self.room)

    def encoding(self, rows: int) -> int:
        """Bytes that come and go while images are looked at, in batches of so many."""
        return rows * self.patches * self.seen * self.multiplied

    def peak(self, updated: int, generated: int) -> int:
        """Bytes at most."""
        passing = (self.update(updated), self.rollout(generated))
        return self.standing + max(*passing, self.encoding(max(updated, generated)))

    @property
    def _between(self) -> int:
        """Bytes that stay between two layers, of a conversation."""
        return self.tokens * self.width * (self.stored if self.adapted else 4)

    @property
    def _norms(self) -> int:
        """Bytes that the two norms of a layer keep of each value."""
        return 8 if self.adapted else 16

    @property
    def _inside(self) -> int:
        """Bytes that a layer keeps within, of a conversation."""
        wide = 7 if self.multiplied == 4 else 11  # nothing is cast where all is float32
        products = self.multiplied * (wide * self.width + 4 * self.inner)
        matrices = self.heads * self.tokens**2 * (4 + self.multiplied % 4)
        return self.tokens * (self._norms * self.width + products) + matrices


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
    device = torch.device("cuda" if on_gpu(base) else "cpu")
    head = text.hidden_size // text.num_attention_heads
    vision = config.vision_config
    first, crop = _views(base, vision, source)
    written = base.max_turns * base.max_new_tokens
    multiplied = 2 if fast_in_bfloat16(device) else max(stored, 4)
    return Shape(
        weights=model.num_parameters(),
        trained=_adapter(model, rank) if rank else _language(model),
        stored=stored,
        multiplied=multiplied,
        adapted=rank > 0,
        reference=run.kl > 0 and not rank,
        recomputes=recomputes(run, model),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        inner=text.intermediate_size,
        cached=text.num_key_value_heads * (getattr(text, "head_dim", None) or head),
        words=text.vocab_size,
        heads=0 if on_gpu(base) else text.num_attention_heads,
        tokens=_QUESTION + first.tokens + base.max_zooms * crop.tokens + written,
        written=written,
        patches=max(first.patches, crop.patches)
        if TAKES_ENCODED_IMAGES
        else first.patches + base.max_zooms * crop.patches,
        seen=_values_of_a_patch(vision),
        kept_images=_kept_images(run, base, first, crop)
        * text.hidden_size
        * max(stored, multiplied)
        * (1 + len(getattr(vision, "deepstack_visual_indexes", ()))),
        waiting=run.prompts_per_step * run.samples_per_prompt,
        room=room(device),
    )


def on_gpu(base: ModelConfig) -> bool:
    """Whether the model will be on a GPU."""
    return base.gpus > 0 and torch.cuda.is_available()


def _language(model: Any) -> int:
    own = [*model.get_decoder().parameters(), *model.get_output_embeddings().parameters()]
    return sum({id(parameter): parameter.numel() for parameter in own}.values())


def _adapter(model: Any, rank: int) -> int:
    layers = (model.get_submodule(name) for name in lora_layers(model))
    return sum(rank * (layer.in_features + layer.out_features) for layer in layers)


@dataclass(frozen=True, slots=True)
class _View:
    """An image at its largest, in tokens of the language model and in patches of the tower."""

    tokens: int
    patches: int


def _views(base: ModelConfig, vision: Any, source: dict[str, Any]) -> tuple[_View, _View]:
    """The first view and a crop."""
    processor: Any = AutoProcessor.from_pretrained(base.id, **source)  # type: ignore[no-untyped-call]
    for option, value in image_options(base, processor.image_processor).items():
        setattr(processor.image_processor, option, value)
    first, crop = (
        _view(processor, vision, view.max_pixels, view.multiple)
        for view in (base.first_view, base.crop)
    )
    return first, crop


def _view(processor: Any, vision: Any, pixels: int, multiple: int) -> _View:
    side = max(1, int(math.sqrt(pixels)) // multiple) * multiple
    image = Image.new("RGB", (side, side))
    given, tokens = processed(processor, [[image]], torch.device("cpu"))
    patch = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
    values = 3 * patch**2 * getattr(vision, "temporal_patch_size", 1)
    return _View(int(tokens["attention_mask"].sum()), given["pixel_values"].numel() // values)


def _values_of_a_patch(vision: Any) -> int:
    """That are held at a time in a layer of the tower."""
    width: int = getattr(vision, "embed_dim", vision.hidden_size)
    inner: int = getattr(vision, "intermediate_size", 4 * width)
    return 10 * width + 3 * inner


def _kept_images(run: TrainingConfig, base: ModelConfig, first: _View, crop: _View) -> int:
    """Tokens of a step's images that are kept: first views by question, crops by episode."""
    if not TAKES_ENCODED_IMAGES:
        return 0
    crops = base.max_zooms * run.samples_per_prompt * crop.tokens
    return run.prompts_per_step * (first.tokens + crops)


def _bytes_of(dtype: torch.dtype | None) -> int:
    return (dtype or torch.float32).itemsize
