"""Log-probabilities and entropies from logits, a few tokens at a time, for verl's workers.

Over a vocabulary of 150,000 words the logits of a conversation are gigabytes. Computed at once,
their distributions in float32 are twice as much again, and are kept for the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 256
"""Tokens at a time."""


class _LogProbs(torch.autograd.Function):
    """Keeps the logits only; distributions are computed again for the gradient."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits, labels)
        return torch.cat(
            [
                part.float().log_softmax(-1).gather(-1, label[:, None])[:, 0]
                for part, label in zip(
                    torch.split(logits, CHUNK), torch.split(labels, CHUNK), strict=True
                )
            ]
        )

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, labels = ctx.saved_tensors
        result = torch.empty_like(logits)
        for start in range(0, len(logits), CHUNK):
            part = slice(start, start + CHUNK)
            gradient = gradients[0][part, None].float()
            found = logits[part].float().softmax(-1).mul_(-gradient)
            result[part] = found.scatter_add_(-1, labels[part, None], gradient)
        return result, None


def log_probs(
    logits: torch.Tensor, labels: torch.Tensor, inplace_backward: bool = True
) -> torch.Tensor:
    """(tokens,) float32 log-probabilities of `labels` (tokens,) under `logits` (tokens, words).

    Args:
        inplace_backward: verl says it to every implementation; of no effect here.
    """
    found: torch.Tensor = _LogProbs.apply(logits, labels)  # type: ignore[no-untyped-call]
    return found


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """(...) float32 entropies of the distributions of `logits` (..., words)."""
    rows = logits.reshape(-1, logits.shape[-1])
    found = []
    for part in torch.split(rows, CHUNK):
        distribution = part.float().log_softmax(-1)
        found.append(-(distribution.exp() * distribution).sum(-1))
    return torch.cat(found).reshape(logits.shape[:-1])
