"""Which weights are trained: where to look and what to say, not how to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from active_perception_r1.config import TrainingConfig

LARGE = 10**9
"""Parameters above which an adapter is trained, and activations are computed again."""
LORA_RANK = 32


def freeze_vision(model: Any) -> list[torch.nn.Parameter]:
    """Freeze all but the language model; returns the parameters left to train."""
    model.requires_grad_(False)
    language: list[torch.nn.Parameter] = [
        *model.get_decoder().parameters(),
        *model.get_output_embeddings().parameters(),
    ]
    for parameter in language:
        parameter.requires_grad_(True)
    return list({id(parameter): parameter for parameter in language}.values())


def look_without_gradient(model: Any) -> None:
    """Have a frozen vision tower keep nothing for a backward pass, even if one is asked of it.

    transformers' switch for gradient checkpointing does so: it has embeddings give out tensors that
    need a gradient, and those of patches are among them.
    """
    decoder = model.get_decoder()
    for part in model.base_model.children():
        if part is not decoder:
            part.forward = torch.no_grad()(part.forward)


def lora_rank(run: TrainingConfig, model: Any) -> int:
    """Of the adapter that is trained; 0 where the language model itself is."""
    if run.lora_rank is not None:
        return run.lora_rank
    return LORA_RANK if model.num_parameters() > LARGE else 0


def recomputes(run: TrainingConfig, model: Any) -> bool:
    """Whether activations are computed again instead of kept."""
    if run.gradient_checkpointing is not None:
        return run.gradient_checkpointing
    return bool(model.num_parameters() > LARGE)


def lora_layers(model: Any) -> Iterator[str]:
    """Names of the linear layers that get an adapter: those of the language model but its head."""
    inside = {id(module) for module in model.get_decoder().modules()}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and id(module) in inside:
            yield name
