"""What is known of families of models before one of them is loaded.

A family fixes how images become tokens, and so which budgets and conversations make sense. An entry
without a family is run as it is, and nothing of this is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture as transformers and vLLM run it.

    Attributes:
        model_types: what `config.json` of such a model calls itself.
        multiple: both sides of an image must be multiples of this many pixels, or its processor
            would resize what was sized already, and pixel coordinates would mean another image.
        image_tokens: of every image, whatever its size; None where they grow with it.
        context: tokens of a conversation; None where no image budget comes near it.
    """

    model_types: tuple[str, ...]
    multiple: int = 1
    image_tokens: int | None = None
    context: int | None = None

    def tokens(self, max_pixels: int) -> int:
        """Tokens of an image with that many pixels; 0 where only the processor can tell."""
        return self.image_tokens or (max_pixels // self.multiple**2 if self.multiple > 1 else 0)


FAMILIES: Mapping[str, Family] = {
    # SmolVLM: tiles of one size, each of them as many tokens.
    "idefics3": Family(("idefics3",)),
    # LLaVA-1.5: 336 x 336 pixels in patches of 14, and Vicuna's context. Several images work, but
    # were not trained on.
    "llava": Family(("llava",), image_tokens=576, context=4096),
    "qwen2_vl": Family(("qwen2_vl",), multiple=28),
    "qwen2_5_vl": Family(("qwen2_5_vl",), multiple=28),
    "qwen3_vl": Family(("qwen3_vl",), multiple=32),
}
