"""How probable a model finds what the policy wrote."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.training.rollout import Sequences

CHUNK = 256
"""Tokens at a time whose distributions are held in memory, where it is spared."""


def policy_log_probs(
    policy: TransformersBackend,
    batch: Sequences,
    temperature: float,
    model: Any = None,
    sparing: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each policy token given all before it, and the entropy there: (tokens,).

    Both are of the distribution at the sampling temperature; tokens are in row order.

    Args:
        model: another one with the same vision tower; the policy's own if not given.
        sparing: keep no distribution over the vocabulary that can be computed again.
    """
    model = policy.model if model is None else model
    written, next_tokens = batch.policy[:, 1:], batch.tokens[:, 1:]
    inputs = {**batch.inputs(policy.show), "use_cache": False}
    if sparing:
        needed = written.any(0).nonzero()[:, 0]
        written, next_tokens = written[:, needed], next_tokens[:, needed]
        logits = model(**inputs, logits_to_keep=needed).logits
    else:
        logits = model(**inputs).logits[:, :-1]
    logits, targets = logits[written], next_tokens[written]
    if not sparing:
        return _of_tokens(logits, targets, temperature)
    chunks = [
        checkpoint(_of_tokens, *chunk, temperature, use_reentrant=False)
        for chunk in zip(torch.split(logits, CHUNK), torch.split(targets, CHUNK), strict=True)
    ]
    log_probs, entropies = zip(*chunks, strict=True)
    return torch.cat(log_probs), torch.cat(entropies)


def _of_tokens(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of (tokens, vocabulary) logits and (tokens,) ids."""
    distribution = (logits.float() / temperature).log_softmax(-1)
    log_probs = distribution.gather(-1, targets[:, None])[:, 0]
    entropy = -(distribution.detach().exp() * distribution.detach()).sum(-1)
    return log_probs, entropy
