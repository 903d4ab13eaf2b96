"""What a family of models is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

ImageOptions: TypeAlias = Callable[[Any, int], dict[str, Any]]


def _as_loaded(image_processor: Any, max_pixels: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class ToolProtocol:
    """How models of a family were trained to call functions, for `prompts: native`.

    Attributes:
        in_template: the chat template declares functions itself (its `tools=`); otherwise the
            system message does.
        role: whose message brings the result.
        around: text before and after a result, where the template puts none.
        system: opens the system message; empty where the template needs none.
    """

    in_template: bool = True
    role: Literal["user", "tool"] = "tool"
    around: tuple[str, str] = ("", "")
    system: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture as transformers and vLLM run it.

    Attributes:
        model_types: what `config.json` of such a model calls itself.
        multiple: both sides of an image must be multiples of this many pixels, or its processor
            would resize what was sized already, and pixel coordinates would mean another image.
        max_aspect: long side over short side of an image, as it is sent; its processor refuses a
            flatter one, or cannot afford it. None where there is no limit.
        fixed_resolution: its processor brings every image to one resolution, or to one that follows
            from its shape: a page is shown larger only in parts.
        image_tokens: of every image, whatever its size; None where they grow with it.
        context: tokens of a conversation; None where no image budget comes near it.
        protocol: how it calls functions.
        marks: special tokens that belong to what a model says, and so are kept in its replies.
        image_options: from the image processor as loaded and the pixels of the largest image that
            it is given, the options under which it keeps what the budgets have decided.
    """

    model_types: tuple[str, ...]
    multiple: int = 1
    max_aspect: float | None = None
    fixed_resolution: bool = False
    image_tokens: int | None = None
    context: int | None = None
    protocol: ToolProtocol = ToolProtocol()
    marks: tuple[str, ...] = ()
    image_options: ImageOptions = _as_loaded

    def tokens(self, max_pixels: int) -> int:
        """Tokens of an image with that many pixels; 0 where only the processor can tell."""
        return self.image_tokens or (max_pixels // self.multiple**2 if self.multiple > 1 else 0)
