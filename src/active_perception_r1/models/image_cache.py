"""Images as a vision tower that does not change sees them: each one is encoded once.

Every later turn of an episode shows the earlier images again, and the episodes of a training group
share their first view. A request is put together from its text and from what was kept of its
images; the model is given exactly what the processor would have made of the whole.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from PIL import Image
from transformers.utils.generic import ModelOutput

Inputs = dict[str, Any]
# Earlier models of transformers take encoded images in other forms, or not at all.
TAKES_ENCODED_IMAGES = tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 23)
_PIXELS = ("pixel_values", "pixel_attention_mask")  # What only the vision tower needs.


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of an image.

    Attributes:
        tokens: by the name of a model input, the values that stand for the image in a prompt.
        facts: by the name of a model input, the image's row of it, such as its size in patches.
        features: (image tokens, width) outputs of the vision tower and the projection behind it.
        deep: more of the same kind, for deeper layers of the language model (Qwen3-VL).
    """

    tokens: dict[str, list[int]]
    facts: dict[str, torch.Tensor]
    features: torch.Tensor
    deep: tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the processor has made of some images."""

    images: Sequence[Image.Image] = ()
    inputs: tuple[Inputs, Inputs] = ({}, {})

    def of(self, images: Sequence[Image.Image]) -> bool:
        return list(map(id, images)) == list(map(id, self.images))


@dataclass
class _Outputs(ModelOutput):
    """What the architectures' own outputs have in common."""

    pooler_output: list[torch.Tensor] | None = None
    deepstack_features: list[Sequence[torch.Tensor]] | None = None


class ImageCache:
    """Encodes requests to one model, and remembers their images for as long as they are in use.

    It is out of date as soon as the vision tower is trained.
    """

    def __init__(self, processor: Any, model: Any, batch_size: int) -> None:
        self._processor = processor
        self._model = model
        self._batch_size = batch_size
        self._seen: dict[int, _Seen] = {}
        self._prepared = _Prepared()

    @contextmanager
    def preparing(self, images: Sequence[Sequence[Image.Image]]) -> Iterator[None]:
        """Beside the block, do to the images that are asked for next what the processor does.

        The block must not use the processor, which does one thing at a time.
        """
        new = self._unseen(images)[: self._batch_size] if TAKES_ENCODED_IMAGES else []
        if not new:
            yield
            return
        with ThreadPoolExecutor(1, "prepare") as thread:
            future = thread.submit(self._processed, new)
            yield
        if not future.exception():  # else it is raised where the images are asked for
            self._prepared = _Prepared(new, future.result())

    def encode(self, texts: Sequence[str], images: Sequence[Sequence[Image.Image]]) -> Inputs:
        """Model inputs of a batch, padded as the tokenizer pads, on the device of the model.

        Args:
            texts: in the chat template, with one placeholder for each image.
            images: of each text, in order, at least one. They must not change.

        Returns:
            Token ids and their like, (batch, length); facts of the images, (images, ...); and
            `mm_encoder_outputs`, whose features have one entry for each text: those of its images,
            one after the other, (tokens, width).
        """
        seen = self._look_at(images)
        tokenizer, placeholder = self._processor.tokenizer, self._processor.image_token_id
        rows = [
            _expanded(row, placeholder, shown)
            for row, shown in zip(tokenizer(list(texts))["input_ids"], seen, strict=True)
        ]
        padded = tokenizer.pad({"input_ids": [row["input_ids"] for row in rows]})
        used = torch.tensor(padded["attention_mask"])
        inputs = {"input_ids": torch.tensor(padded["input_ids"]), "attention_mask": used}
        for name in rows[0].keys() - inputs.keys():
            inputs[name] = torch.zeros_like(used)
            inputs[name][used.bool()] = torch.tensor([value for row in rows for value in row[name]])
        inputs = {name: value.to(self._model.device) for name, value in inputs.items()}
        return {**inputs, **self._shown(seen)}

    def show(self, images: Sequence[Sequence[Image.Image]]) -> Inputs:
        """Of what `encode` gives, all that is not of tokens."""
        return self._shown(self._look_at(images))

    def _shown(self, seen: Sequence[Sequence[_Seen]]) -> Inputs:
        every = [image for shown in seen for image in shown]
        facts = {
            name: torch.stack([image.facts[name] for image in every]).to(self._model.device)
            for name in every[0].facts
        }
        outputs = encoder_outputs(
            [torch.cat([image.features for image in shown]) for shown in seen],
            [
                [torch.cat([image.deep[layer] for image in shown]) for shown in seen]
                for layer in range(len(every[0].deep))
            ],
        )
        return {**facts, "mm_encoder_outputs": outputs}

    def _look_at(self, images: Sequence[Sequence[Image.Image]]) -> list[list[_Seen]]:
        """What is kept of these images, after encoding what was not seen before, in batches."""
        new = self._unseen(images)
        for first in range(0, len(new), self._batch_size):
            batch = new[first : first + self._batch_size]
            for image, seen in zip(batch, self._encoded(batch), strict=True):
                self._seen[id(image)] = seen
                weakref.finalize(image, self._seen.pop, id(image)).atexit = False
        return [[self._seen[id(image)] for image in shown] for shown in images]

    def _unseen(self, images: Sequence[Sequence[Image.Image]]) -> list[Image.Image]:
        every = (image for shown in images for image in shown)
        return list({id(image): image for image in every if id(image) not in self._seen}.values())

    def _processed(self, images: Sequence[Image.Image]) -> tuple[Inputs, Inputs]:
        return processed(self._processor, [[image] for image in images], self._model.device)

    def _encoded(self, images: Sequence[Image.Image]) -> list[_Seen]:
        processor, prepared = self._processor, self._prepared
        self._prepared = _Prepared()
        given, by_token = prepared.inputs if prepared.of(images) else self._processed(images)
        used = by_token.pop("attention_mask").bool()
        facts = {name: values for name, values in given.items() if name not in _PIXELS}
        with torch.no_grad():
            outputs = self._model.get_image_features(**given, return_dict=True)
        counts = (by_token["input_ids"] == processor.image_token_id).sum(1).tolist()
        features = torch.split(torch.cat(list(outputs.pooler_output)), counts)
        layers = [
            torch.split(torch.cat(list(layer)), counts)
            for layer in outputs.get("deepstack_features", ())
        ]
        return [
            _Seen(
                {name: values[row][used[row]].tolist() for name, values in by_token.items()},
                {name: values[row] for name, values in facts.items()},
                features[row],
                tuple(layer[row] for layer in layers),
            )
            for row in range(len(images))
        ]


def processed(
    processor: Any, images: Sequence[Sequence[Image.Image]], device: torch.device
) -> tuple[Inputs, Inputs]:
    """Model inputs of texts that consist of images only: what is of images, and what of tokens."""
    inputs = processor(
        text=[processor.image_token * len(shown) for shown in images],
        images=[list(shown) for shown in images],
        padding=True,
        add_special_tokens=False,
        return_tensors="pt",
    ).to(device)
    of_images = processor.image_processor.model_input_names
    return (
        {name: values for name, values in inputs.items() if name in of_images},
        {name: values for name, values in inputs.items() if name not in of_images},
    )


def encoder_outputs(
    features: Sequence[torch.Tensor], deep: Sequence[Sequence[torch.Tensor]] = ()
) -> dict[str, ModelOutput]:
    """What the vision tower made of the images, as the models of transformers take it.

    Args:
        features: for each row of the batch, (image tokens, width).
        deep: the same for each deeper layer that takes some.
    """
    return {"image": _Outputs(pooler_output=list(features), deepstack_features=list(deep))}


def _expanded(
    row: Sequence[int], placeholder: int, images: Sequence[_Seen]
) -> dict[str, list[int]]:
    """The ids of a text with each placeholder replaced by what stands for its image."""
    expanded: dict[str, list[int]] = {name: [] for name in images[0].tokens}
    remaining = iter(images)
    for token in row:
        image = next(remaining) if token == placeholder else None
        for name, values in expanded.items():
            values += image.tokens[name] if image else [token if name == "input_ids" else 0]
    return expanded
