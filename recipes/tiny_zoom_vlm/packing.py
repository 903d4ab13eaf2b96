"""Packing of training conversations: many questions about one image share its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from transformers import PreTrainedTokenizerFast

from recipes.tiny_zoom_vlm.tokenizer import IMAGE_SPAN

USER_TURN = f"<|im_start|>user\n{IMAGE_SPAN}"
ASSISTANT_TURN = "<|im_end|>\n<|im_start|>assistant\n"


class Kind(IntEnum):
    """What a token of a conversation is to the loss."""

    CONTEXT = 0
    FORMAT = 1
    CHOICE = 2  # to zoom or to answer
    ZOOM = 3
    PLACE = 4
    NAME = 5
    PRINT = 6  # large or not
    ANSWER = 7
    GUESS = 8  # an answer that cannot be seen


Conversation = Sequence[tuple[str, Kind]]
"""Pieces of text, cut at token boundaries, each with its part in the loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows as arrays; see `architecture.packed_states` for the first four.

    Attributes:
        tokens: (rows, length) int64.
        positions: (rows, length) int64.
        segments: (rows, length) int64.
        images: (n, side, side, 3) uint8.
        target_rows: (targets,) row of every supervised token.
        target_columns: (targets,) its place in the row, at least 1.
        target_kinds: (targets,) its `Kind`.
        target_layouts: (targets,) index of its page's layout.
        conversations: number of conversations in all rows.
    """

    tokens: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]
    target_rows: npt.NDArray[np.int64]
    target_columns: npt.NDArray[np.int64]
    target_kinds: npt.NDArray[np.int64]
    target_layouts: npt.NDArray[np.int64]
    conversations: int


class Packer:
    """Collects rows and turns them into a `Batch`."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        @lru_cache(maxsize=4096)
        def encode(text: str) -> tuple[int, ...]:
            return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

        self._encode = encode
        self._rows: list[tuple[list[int], list[int], list[int]]] = []
        self._images: list[npt.NDArray[np.uint8]] = []
        self._targets: list[tuple[int, int, int, int]] = []

    def add(
        self,
        images: Sequence[Image.Image],
        layout: int,
        conversations: Sequence[Conversation],
        opening: int = 1,
    ) -> None:
        """Adds a row: a user turn opened with `opening` images, continued by each conversation.

        Further images belong to the image spans inside the conversations, in order.
        """
        beginning = self._encode(USER_TURN + (opening - 1) * IMAGE_SPAN)
        tokens, positions = list(beginning), list(range(len(beginning)))
        segments = [0] * len(beginning)
        for segment, conversation in enumerate(conversations, start=1):
            start = len(tokens)
            for text, kind in conversation:
                ids = self._encode(text)
                if kind != Kind.CONTEXT:
                    columns = range(len(tokens), len(tokens) + len(ids))
                    self._targets += [(len(self._rows), c, int(kind), layout) for c in columns]
                tokens += ids
            added = len(tokens) - start
            positions += range(len(beginning), len(beginning) + added)
            segments += [segment] * added
        self._rows.append((tokens, positions, segments))
        self._images += [np.asarray(image) for image in images]

    def batch(self) -> Batch:
        """All rows so far, padded on the right; the packer is empty afterwards."""
        length = max(len(tokens) for tokens, _, _ in self._rows)
        packed = np.zeros((3, len(self._rows), length), dtype=np.int64)
        packed[2] = -1
        for i, row in enumerate(self._rows):
            for part, values in zip(packed, row, strict=True):
                part[i, : len(values)] = values
        rows, columns, kinds, layouts = np.array(self._targets, dtype=np.int64).T
        images = np.stack(self._images)
        conversations = int(packed[2].max(axis=1).sum())
        self._rows, self._images, self._targets = [], [], []
        return Batch(
            *(packed[0], packed[1], packed[2], images, rows, columns, kinds, layouts),
            conversations=conversations,
        )
