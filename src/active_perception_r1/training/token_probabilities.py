"""How probable a model finds what the policy wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.models.image_cache import Inputs, encoder_outputs
from active_perception_r1.models.shared_prompts import keeps_all, may_be_shared, read_once
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
    inputs = batch.inputs(policy.show)
    if not sparing:
        shared = _behind_prompts(policy, model, batch, inputs)
        logits, targets = shared or _whole(model, batch, inputs)
        return _of_tokens(logits, targets, temperature)
    written, next_tokens = batch.policy[:, 1:], batch.tokens[:, 1:]
    needed = written.any(0).nonzero()[:, 0]
    written, next_tokens = written[:, needed], next_tokens[:, needed]
    logits = model(**inputs, use_cache=False, logits_to_keep=needed).logits[written]
    targets = next_tokens[written]
    chunks = [
        checkpoint(_of_tokens, *chunk, temperature, use_reentrant=False)
        for chunk in zip(torch.split(logits, CHUNK), torch.split(targets, CHUNK), strict=True)
    ]
    log_probs, entropies = zip(*chunks, strict=True)
    return torch.cat(log_probs), torch.cat(entropies)


def _whole(model: Any, batch: Sequences, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, vocabulary) logits where the policy wrote, and (tokens,) what it wrote."""
    written = batch.policy[:, 1:]
    logits = model(**inputs, use_cache=False).logits[:, :-1]
    return logits[written], batch.tokens[:, 1:][written]


def _behind_prompts(
    policy: TransformersBackend, model: Any, batch: Sequences, inputs: Inputs
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The same, with every prompt read once; None where too few rows share theirs."""
    if not (may_be_shared(inputs) and keeps_all(model)):
        return None
    images = inputs["mm_encoder_outputs"]["image"].pooler_output
    # The last token of a prompt says what comes next, so it is left to every row.
    start = batch.policy.int().argmax(1, keepdim=True) - 1
    prompt = _part(policy, batch, images, torch.zeros_like(start), start)
    cache = read_once(model, prompt.tokens, prompt.used, prompt.images)
    if cache is None:
        return None
    rest = _part(policy, batch, images, start, batch.used.sum(1, keepdim=True))
    logits = model(
        input_ids=rest.tokens,
        attention_mask=torch.cat([prompt.used, rest.used], 1).long(),
        position_ids=rest.places,
        past_key_values=cache,
        use_cache=True,
        mm_encoder_outputs=encoder_outputs(rest.images) if any(map(len, rest.images)) else None,
    ).logits[:, :-1]
    written = (batch.policy.gather(1, rest.places) & rest.used)[:, 1:]
    return logits[written], rest.tokens[:, 1:][written]


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of every row of a batch.

    Attributes:
        tokens, used: (rows, length) ids, and true where they are not padding, which is behind them.
        places: (rows, length) of the tokens in their row.
        images: for each row, what the vision tower made of those that are shown in it.
    """

    tokens: torch.Tensor
    used: torch.Tensor
    places: torch.Tensor
    images: list[torch.Tensor]


def _part(
    policy: TransformersBackend,
    batch: Sequences,
    images: Sequence[torch.Tensor],
    first: torch.Tensor,
    end: torch.Tensor,
) -> _Part:
    """From the token at `first` of each row, (rows, 1), to the one before `end`."""
    columns = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
    places = first + columns[: int((end - first).max())]
    used = places < end
    places = places.clamp(max=len(columns) - 1)
    tokens = batch.tokens.gather(1, places).masked_fill(~used, policy.padding)
    earlier = ((batch.tokens == policy.image_token) & (columns < first)).sum(1).tolist()
    counts = (tokens == policy.image_token).sum(1).tolist()
    shown = [
        features[skipped : skipped + count]
        for features, skipped, count in zip(images, earlier, counts, strict=True)
    ]
    return _Part(tokens, used, places, shown)


def _of_tokens(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of (tokens, vocabulary) logits and (tokens,) ids."""
    distribution = (logits.float() / temperature).log_softmax(-1)
    log_probs = distribution.gather(-1, targets[:, None])[:, 0]
    entropy = -(distribution.detach().exp() * distribution.detach()).sum(-1)
    return log_probs, entropy
