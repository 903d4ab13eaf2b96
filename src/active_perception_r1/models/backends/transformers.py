"""Models run by Hugging Face transformers: left-padded batches through plain `generate`."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.families import family_of
from active_perception_r1.models.backends import BatchBackend
from active_perception_r1.models.chat import prompt_text, reply_text, request_seed
from active_perception_r1.models.decoding import (
    generation_config,
    only_tokens,
    output_penalties,
    set_aside,
)
from active_perception_r1.models.image_cache import (
    TAKES_ENCODED_IMAGES,
    ImageCache,
    Inputs,
    processed,
)
from active_perception_r1.models.prefix_cache import PrefixCache
from active_perception_r1.models.weights import find_weights, image_options, require_family
from active_perception_r1.runtime.memory import keep_freed_memory, out_of_memory
from active_perception_r1.sim.messages import FinishReason, Reply, Request


@dataclass(frozen=True, slots=True)
class Generated:
    """A batch as it was run.

    Attributes:
        inputs: of the model, on its device; `input_ids` is (batch, prompt), padded on the left.
        completions: (batch, new tokens), padded on the right after the end token.
        lengths: (batch,) tokens of each completion, its end token included.
    """

    inputs: Inputs
    completions: torch.Tensor
    lengths: torch.Tensor


class TransformersBackend(BatchBackend):
    """A vision-language model that `AutoModelForImageTextToText` and `AutoProcessor` can load.

    Attributes:
        image_token, padding: ids of the tokens that stand for a part of an image, and for nothing.

    Raises:
        BackendError: the model cannot be loaded.
    """

    def __init__(self, settings: ModelConfig) -> None:
        super().__init__()
        self.settings = settings
        self.live = settings.max_concurrent_episodes
        self.first = min(settings.batch_size, self.live)
        disable_progress_bar()  # type: ignore[no-untyped-call]  # the stage shows its own
        weights = find_weights(settings)
        self.revision = weights.revision
        try:
            source: dict[str, Any] = {"revision": weights.commit}
            self.processor: Any = AutoProcessor.from_pretrained(settings.id, **source)  # type: ignore[no-untyped-call]
            source |= {"dtype": settings.dtype, "device_map": settings.device_map}
            model: Any = AutoModelForImageTextToText.from_pretrained(settings.id, **source)
        except (OSError, ValueError, ImportError) as error:
            detail = " ".join(str(error).split())
            raise BackendError(f"model '{settings.id}' cannot be loaded: {detail}") from error
        require_family(settings, model.config.model_type)
        self._images_as_loaded = copy.copy(self.processor.image_processor)
        self.set_up(settings)
        self.processor.tokenizer.padding_side = "left"
        if settings.device_map is None:
            model.to("cuda" if settings.gpus and torch.cuda.is_available() else "cpu")
        self.model: Any = model.eval()
        self.device = torch.device(model.device)  # with a device map, where the inputs go
        self.image_token: int = self.processor.image_token_id
        self.padding: int = self.processor.tokenizer.pad_token_id
        self._marks = family_of(settings.family).marks
        self._checkpoint: GenerationConfig = model.generation_config
        self.set_aside = set_aside(settings.decoding, self._checkpoint)
        model.generation_config = only_tokens(self._checkpoint, self.processor.tokenizer)
        self._decoding = self._generation_config()
        self._batch_size = settings.batch_size
        self._images = ImageCache(self.processor, self.model, settings.batch_size)
        self._prefixes = PrefixCache(self.model, self.image_token)
        if self.device.type == "cpu":
            keep_freed_memory()

    def set_up(self, settings: ModelConfig) -> None:
        """As `Backend.set_up`."""
        for option, value in image_options(settings, self._images_as_loaded).items():
            setattr(self.processor.image_processor, option, value)

    def drawn_at(self, temperature: float) -> Self:
        """The same model, not a copy of it, with replies drawn at another temperature."""
        other = copy.copy(self)
        other.settings = self.settings.drawn_at(temperature)
        other._decoding = other._generation_config()
        return other

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in the order of the requests."""
        replies = dict(self.replies(requests))
        return [replies[index] for index in range(len(requests))]

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """As soon as their batch is done; a batch is of similar length."""
        order = sorted(range(len(requests)), key=lambda index: _size(requests[index]))
        while order:
            batch = order[: self._batch_size]
            order = order[len(batch) :]
            following = [requests[index] for index in order[: self._batch_size]]
            replies = self._run([requests[index] for index in batch], following)
            yield from zip(batch, replies, strict=True)

    def save(self, folder: Path) -> None:
        """Write model and processor, to be loaded by the folder's name."""
        self.model.save_pretrained(folder)
        # As it was found: transformers' own way to save it refuses what it does not like.
        self._checkpoint.to_json_file(folder / "generation_config.json")
        self.processor.save_pretrained(folder)

    def run(self, inputs: Inputs) -> Generated:
        """Generate for one batch of encoded requests.

        Raises:
            Whatever the model raises, out-of-memory errors among it.
        """
        prompt = inputs["input_ids"].shape[1]
        with torch.no_grad():  # not inference mode: the trainer goes on to use these tensors
            output = self.model.generate(
                **inputs,
                generation_config=self._decoding,
                logits_processor=output_penalties(self.settings.decoding, prompt),
            )
        completions = output[:, prompt:].clone()
        return Generated(inputs, completions, _lengths(completions, self._end_tokens()))

    def go_on(self, requests: Sequence[Request], following: Sequence[Request] = ()) -> Generated:
        """Generate for one batch, without computing again what is known of its conversations.

        Args:
            following: the next batch, whose images are prepared in the meantime.

        Raises:
            As `run`.
        """
        inputs = self._prefixes.resume(requests, self.encode(requests))
        with self._images.preparing(images_of(following)):
            generated = self.run(inputs)
        self._prefixes.keep(requests, inputs, generated.completions, generated.lengths)
        return generated

    def forget(self) -> None:
        """Compute all conversations anew, as after a change of weights; frees memory."""
        self._prefixes.clear()

    def encode(self, requests: Sequence[Request]) -> Inputs:
        """Model inputs of a batch: the chat template over the texts, the images in order."""
        if TAKES_ENCODED_IMAGES:
            return self._images.encode(self._texts(requests), images_of(requests))
        return self.encode_afresh(requests)

    def encode_afresh(self, requests: Sequence[Request]) -> Inputs:
        """The same by the plain processor, which remembers no image."""
        inputs = self.processor(
            text=self._texts(requests),
            images=images_of(requests),
            padding=True,
            return_tensors="pt",
        )
        return {name: value.to(self.device) for name, value in inputs.items()}

    def show(self, images: Sequence[Sequence[Image.Image]]) -> Inputs:
        """Of the inputs that `encode` gives for texts with these images, what is not of tokens."""
        if TAKES_ENCODED_IMAGES:
            return self._images.show(images)
        return processed(self.processor, images, self.device)[0]

    def _texts(self, requests: Sequence[Request]) -> list[str]:
        return [
            prompt_text(
                self.processor.apply_chat_template,
                request,
                self.processor.image_token,
                self.settings.chat_template_kwargs,
            )
            for request in requests
        ]

    def decode(self, generated: Generated, seconds: float) -> list[Reply]:
        """Replies of a batch; `seconds` of wall time are shared out evenly."""
        size = len(generated.completions)
        prompt_lengths = generated.inputs["attention_mask"].sum(1).tolist()
        visual = (generated.inputs["input_ids"] == self.image_token).sum(1).tolist()
        ends = self._end_tokens()
        replies = []
        for row, prompt, seen, length in zip(
            generated.completions.tolist(),
            prompt_lengths,
            visual,
            generated.lengths.tolist(),
            strict=True,
        ):
            tokens = row[:length]
            ended = bool(tokens) and tokens[-1] in ends
            text = reply_text(self.processor.tokenizer, tokens, self._marks)
            reason = FinishReason.STOP if ended else FinishReason.LENGTH
            replies.append(Reply(text, reason, prompt, length, seconds / size, visual_tokens=seen))
        return replies

    def _run(self, requests: Sequence[Request], following: Sequence[Request] = ()) -> list[Reply]:
        """A batch that halves itself until it fits, or until the request at fault stands alone.

        Args:
            following: the next batch, whose images are prepared in the meantime.
        """
        start = time.perf_counter()
        torch.manual_seed(request_seed(requests[0], self.settings.seed))
        try:
            generated = self.go_on(requests, following)
            return self.decode(generated, time.perf_counter() - start)
        except Exception as error:  # One request must not take the others with it.
            if len(requests) == 1:
                return [Reply("", FinishReason.ERROR, error=f"{type(error).__name__}: {error}")]
            if out_of_memory(error):
                self.forget()
                self._batch_size = max(1, len(requests) // 2)
        # Outside the handler, so that the failed batch's tensors are freed with its traceback.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(requests) // 2
        return self._run(requests[:half]) + self._run(requests[half:])

    def _generation_config(self) -> GenerationConfig:
        return generation_config(
            self.settings.decoding,
            self.settings.max_new_tokens,
            suppressed=self.image_token,  # A model cannot write an image.
        )

    def _end_tokens(self) -> frozenset[int]:
        return frozenset(self.model.generation_config.eos_token_id)


def images_of(requests: Sequence[Request]) -> list[list[Image.Image]]:
    """The images of each request, in order."""
    return [[image for message in request for image in message.images] for request in requests]


def _size(request: Request) -> tuple[int, int]:
    """Sort key by which neighbours need little padding: pixels, then characters."""
    images = [image for message in request for image in message.images]
    text = sum(len(part) for message in request for part in message.parts if isinstance(part, str))
    return sum(image.width * image.height for image in images), text


def _lengths(completions: torch.Tensor, ends: frozenset[int]) -> torch.Tensor:
    """(batch,) tokens up to and including the first end token; all where there is none."""
    is_end = torch.isin(completions, torch.tensor(sorted(ends), device=completions.device))
    first = is_end.int().argmax(1) + 1
    return torch.where(is_end.any(1), first, completions.shape[1])


BACKEND = TransformersBackend
