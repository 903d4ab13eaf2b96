"""Which weights are trained: where to look and what to say, not how to see."""

from __future__ import annotations

from typing import Any

import torch


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
