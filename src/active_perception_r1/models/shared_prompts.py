"""Prompts that several conversations of a batch begin with, which a model then reads once.

The episodes of a training group all begin with one question about one page. What the model computes
of it, keys and values, is the same for all of them, and is worked out for one; the others go on
from there, in sampling as in the update, where its gradient is the sum of theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from active_perception_r1.models.image_cache import (
    TAKES_ENCODED_IMAGES,
    Inputs,
    encoder_outputs,
)

_SHARED = {"input_ids", "attention_mask", "mm_encoder_outputs"}


@dataclass(frozen=True, slots=True)
class Prompts:
    """The different ones of a batch.

    Attributes:
        rows: of each, the first row that begins with it.
        of_row: for each row of the batch, the place of its prompt among them.
    """

    rows: list[int]
    of_row: list[int]

    @property
    def worth_it(self) -> bool:
        """Whether enough rows share one that a pass of its own costs less than it saves."""
        return 2 * len(self.rows) <= len(self.of_row)


def keeps_all(model: Any) -> bool:
    """Whether every layer keeps keys and values of all tokens, and nothing else."""
    layers = DynamicCache(config=model.config).layers
    return TAKES_ENCODED_IMAGES and all(type(layer) is DynamicLayer for layer in layers)


def may_be_shared(inputs: Inputs) -> bool:
    """Whether a model is told of nothing but tokens and images as they were seen.

    Qwen's models place a token by the shapes of all images, and some models look at tokens of an
    image in both directions; they read every conversation whole.
    """
    if inputs.keys() != _SHARED:
        return False
    images = inputs["mm_encoder_outputs"]["image"]
    return not images.deepstack_features


def different(prompts: Sequence[Sequence[int]], seen: Sequence[torch.Tensor]) -> Prompts:
    """Which of the prompts are different.

    Args:
        prompts: token ids of each row's.
        seen: what the vision tower made of its images, (image tokens, width).
    """
    found = Prompts([], [])
    known: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, (prompt, images) in enumerate(zip(prompts, seen, strict=True)):
        places = known[tuple(prompt)]
        same = (place for place in places if torch.equal(seen[found.rows[place]], images))
        place = next(same, None)
        if place is None:
            place = len(found.rows)
            found.rows.append(row)
            places.append(place)
        found.of_row.append(place)
    return found


def read_once(
    model: Any, tokens: torch.Tensor, used: torch.Tensor, seen: Sequence[torch.Tensor]
) -> DynamicCache | None:
    """Keys and values of every row's prompt, by one pass over the different ones.

    None where too few rows share theirs.

    Args:
        tokens, used: (rows, length) ids, and true where they are not padding.
        seen: what the vision tower made of the images of each row, (image tokens, width).
    """
    prompts = different([row[mask].tolist() for row, mask in zip(tokens, used, strict=True)], seen)
    if not prompts.worth_it:
        return None
    rows, mask = prompts.rows, used[prompts.rows].long()
    cache = DynamicCache(config=model.config)
    model.base_model(
        input_ids=tokens[rows],
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        mm_encoder_outputs=encoder_outputs([seen[row] for row in rows]),
        past_key_values=cache,
        use_cache=True,
    )
    cache.batch_select_indices(torch.tensor(prompts.of_row, device=tokens.device))
    return cache
