"""Conversations continued where they stood: a later turn computes only what is new in it.

The keys and values of a finished turn are kept until its conversation goes on or is over. The next
request begins with the same messages, so the model starts behind them, as vLLM's prefix caching
does. Requests that are alike are read once.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from active_perception_r1.models.image_cache import Inputs, encoder_outputs
from active_perception_r1.models.shared_prompts import keeps_all, may_be_shared, read_once
from active_perception_r1.sim.messages import Message, Request

_BYTES_ON_CPU = 2**30
_SHARE_OF_GPU = 1 / 8


@dataclass(frozen=True, slots=True)
class _Kept:
    """A turn of one conversation, in the cache of the batch that it was computed in.

    Attributes:
        earlier: the messages before its last one, which is what it is kept under.
        tokens: of its prompt and its reply, as far as the cache goes.
        row, start: where in the cache the first of them is.
        size: bytes of its share of the cache.
    """

    earlier: Request
    tokens: list[int]
    cache: DynamicCache
    row: int
    start: int
    size: int


class PrefixCache:
    """What one model has computed of conversations in progress; `clear` it when weights change.

    Models whose layers forget (sliding windows) or keep something else than keys and values compute
    every turn afresh.
    """

    def __init__(self, model: Any, placeholder: int) -> None:
        """`placeholder` is the id of an image token."""
        self._model = model
        self._placeholder = placeholder
        self._possible = keeps_all(model)
        self._room = room(model.device)
        self._kept: dict[int, _Kept] = {}

    def resume(self, requests: Sequence[Request], inputs: Inputs) -> Inputs:
        """Inputs of `generate` for a batch, with what is known of it in `past_key_values`.

        Args:
            inputs: of `ImageCache.encode` for the same requests.
        """
        if not self._possible:
            return inputs
        kept = [self._take(request) for request in requests]
        if not any(kept):
            return self._read_once(inputs)
        ids, used = inputs["input_ids"], inputs["attention_mask"]
        padding = (used.shape[1] - used.sum(1)).tolist()
        # Rows are aligned at their ends, so what all of them know ends where the first one stops.
        past = min(
            start + (_agreement(one.tokens, row[start:]) if one else 0)
            for one, row, start in zip(kept, ids.tolist(), padding, strict=True)
        )
        past = min(past, ids.shape[1] - 1)  # the last token says what comes next
        new = (ids[:, past:] == self._placeholder).sum(1).tolist()
        cache = DynamicCache(config=self._model.config)
        inputs = {**inputs, "past_key_values": cache}
        # Where nothing new is to be seen, Qwen's models take their positions from another batch.
        if past <= max(padding) or not any(new):
            return inputs
        for index in range(len(cache.layers)):
            cache.update(*_rows(kept, padding, past, index), index)
        inputs["mm_encoder_outputs"] = _last_features(inputs["mm_encoder_outputs"]["image"], new)
        return inputs

    def keep(
        self,
        requests: Sequence[Request],
        inputs: Inputs,
        completions: torch.Tensor,
        lengths: torch.Tensor,
    ) -> None:
        """Remember a batch that was generated from the inputs of `resume`.

        Args:
            completions: (batch, new tokens), padded on the right.
            lengths: (batch,) tokens of each completion.
        """
        if not self._possible:
            return
        cache = inputs["past_key_values"]
        stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        padding = inputs["attention_mask"].shape[1] - inputs["attention_mask"].sum(1)
        size = stored // len(requests)
        rows = zip(
            requests,
            inputs["input_ids"].tolist(),
            completions.tolist(),
            lengths.tolist(),
            padding.tolist(),
            strict=True,
        )
        for row, (request, prompt, reply, length, start) in enumerate(rows):
            tokens = (prompt[start:] + reply[:length])[: cache.get_seq_length() - start]
            self._put(request[-1], _Kept(request[:-1], tokens, cache, row, start, size))

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()

    def _read_once(self, inputs: Inputs) -> Inputs:
        """Inputs of a batch of which nothing is known, behind all that its rows have in common."""
        ids, used, known = inputs["input_ids"], inputs["attention_mask"].bool(), None
        # The last token of a prompt says what comes next, so it is left to every row.
        if may_be_shared(inputs) and self._placeholder not in ids[:, -1]:
            seen = inputs["mm_encoder_outputs"]["image"].pooler_output
            with torch.no_grad():
                known = read_once(self._model, ids[:, :-1], used[:, :-1], seen)
        if known is None:
            return {**inputs, "past_key_values": DynamicCache(config=self._model.config)}
        rest = {name: value for name, value in inputs.items() if name != "mm_encoder_outputs"}
        return {**rest, "past_key_values": known}

    def _put(self, last: Message, kept: _Kept) -> None:
        self._kept[id(last)] = kept
        # A list: the last one to let go of a message may be a thread.
        while sum(one.size for one in list(self._kept.values())) > self._room:
            self._kept.pop(next(iter(self._kept)))  # the oldest
        weakref.finalize(last, self._kept.pop, id(last), None).atexit = False

    def _take(self, request: Request) -> _Kept | None:
        """The turn that `request` goes on from; the next one is kept instead of it."""
        for index in reversed(range(len(request) - 1)):
            kept = self._kept.pop(id(request[index]), None)
            if kept and all(a is b for a, b in zip(kept.earlier, request[:index], strict=True)):
                return kept
        return None


def room(device: torch.device) -> int:
    """Bytes that may be kept."""
    if device.type != "cuda":
        return _BYTES_ON_CPU
    return int(torch.cuda.get_device_properties(device).total_memory * _SHARE_OF_GPU)


def _agreement(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _rows(
    kept: Sequence[_Kept | None], padding: Sequence[int], past: int, layer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of a layer, (batch, heads, past, head size); zeros stand for padding."""
    some = next(one for one in kept if one).cache.layers[layer]
    found = []
    for name in ("keys", "values"):
        like = getattr(some, name)
        rows = like.new_zeros(len(kept), like.shape[1], past, like.shape[3])
        for number, (one, start) in enumerate(zip(kept, padding, strict=True)):
            if one and start < past:
                source = getattr(one.cache.layers[layer], name)
                known = slice(one.start, one.start + past - start)
                rows[number, :, start:] = source[one.row, :, known]
        found.append(rows)
    return found[0], found[1]


def _last_features(images: Any, counts: Sequence[int]) -> dict[str, Any]:
    """Of each row's image tokens the last ones, so many of them."""

    def last(rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [row[len(row) - count :] for row, count in zip(rows, counts, strict=True)]

    deep = [last(layer) for layer in images.deepstack_features]
    return encoder_outputs(last(images.pooler_output), deep)
