"""A quick look at a saved model on held-out pages, through the stock processor and `generate`.

The product's own pipeline is the real evaluation; this one needs no files besides the model folder.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from active_perception_r1.data.synthetic import LAYOUTS, PageQuestion, RenderedPage, render_page
from active_perception_r1.geometry import Box, coverage
from active_perception_r1.models.tiny.curriculum import ANSWER_REQUEST, ZOOM_REQUESTS, view

_NUMBER = r"(0\.\d\d|1\.00)"
_ZOOM = re.compile(rf'<zoom_roi x0="{_NUMBER}" y0="{_NUMBER}" x1="{_NUMBER}" y1="{_NUMBER}"/>')
_ANSWER = re.compile(r"<answer>(\d+)</answer>")
_MIN_AREA = 0.0025
_ORACLE_MARGIN = 0.02

Chat = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """A question about a held-out page."""

    page: RenderedPage
    question: PageQuestion

    @property
    def evidence(self) -> Box:
        return self.page.words[self.question.word_index].box


class Reader:
    """A saved model behind the stock Auto classes; turns that do not end properly are empty."""

    def __init__(self, folder: Path, batch_size: int = 64) -> None:
        self._processor: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        self._model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        self._batch_size = batch_size

    def generate(
        self, chats: Sequence[Chat], images: Sequence[list[Image.Image]], temperature: float
    ) -> list[str]:
        texts: list[str] = []
        sampling: dict[str, Any] = {"do_sample": temperature > 0}
        if temperature > 0:
            sampling |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
        for i in range(0, len(chats), self._batch_size):
            part = slice(i, i + self._batch_size)
            prompts = self._processor.apply_chat_template(
                list(chats[part]), add_generation_prompt=True, tokenize=False
            )
            inputs = self._processor(
                text=prompts, images=list(images[part]), return_tensors="pt", padding=True
            )
            with torch.inference_mode():
                output = self._model.generate(**inputs, max_new_tokens=12, **sampling)
            new = output[:, inputs["input_ids"].shape[1] :]
            for text in self._processor.tokenizer.batch_decode(new, skip_special_tokens=False):
                turn, end, _ = text.partition("<|im_end|>")
                texts.append(turn if end else "")
        return texts


def held_out_tasks(layout: str, count: int, seed: int) -> list[Task]:
    """One question on each of `count` pages."""
    rng = random.Random(f"held out {layout} {seed}")
    pages = [render_page(rng, layout) for _ in range(count)]
    return [Task(page, rng.choice(page.questions)) for page in pages]


def evaluate(folder: Path, per_layout: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Accuracy by layout and mode, with the coverage and side of the zooms made greedily."""
    reader = Reader(folder)
    table = {}
    for layout in LAYOUTS:
        tasks = held_out_tasks(layout, per_layout, seed)
        table[layout] = {
            "baseline": _direct(reader, tasks, [view(task.page.image) for task in tasks]),
            "oracle": _direct(reader, tasks, [_oracle_view(task) for task in tasks]),
            **_active(reader, tasks, 0.0),
            **{f"{name} (T=1)": value for name, value in _active(reader, tasks, 1.0).items()},
            "shuffled_crop": _active(reader, tasks, 0.0, shuffled=True)["active"],
        }
    return table


def parse_zoom(text: str) -> Box | None:
    """The requested box; None for anything but one complete, large enough call."""
    found = _ZOOM.fullmatch(text)
    if found is None:
        return None
    x0, y0, x1, y1 = map(float, found.groups())
    return (
        Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 and (x1 - x0) * (y1 - y0) >= _MIN_AREA else None
    )


def parse_answer(text: str) -> str | None:
    found = _ANSWER.fullmatch(text)
    return found[1] if found else None


def user_turn(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _oracle_view(task: Task) -> Image.Image:
    return view(task.page.image, task.evidence.expanded(_ORACLE_MARGIN))


def _direct(reader: Reader, tasks: Sequence[Task], views: Sequence[Image.Image]) -> float:
    chats = [[user_turn(task.question.text + ANSWER_REQUEST)] for task in tasks]
    texts = reader.generate(chats, [[image] for image in views], temperature=0)
    return _share(
        parse_answer(t) == task.question.answer for t, task in zip(texts, tasks, strict=True)
    )


def _active(
    reader: Reader, tasks: Sequence[Task], temperature: float, shuffled: bool = False
) -> dict[str, float]:
    first = [view(task.page.image) for task in tasks]
    chats = [[user_turn(task.question.text + ZOOM_REQUESTS[0])] for task in tasks]
    calls = reader.generate(chats, [[image] for image in first], temperature)
    boxes = [parse_zoom(call) for call in calls]
    crops = [
        view(task.page.image, box) if box else image
        for task, box, image in zip(tasks, boxes, first, strict=True)
    ]
    if shuffled:
        crops = crops[1:] + crops[:1]
    for chat, call, task in zip(chats, calls, tasks, strict=True):
        chat += [
            {"role": "assistant", "content": call},
            user_turn(task.question.text + ANSWER_REQUEST),
        ]
    views = [list(pair) for pair in zip(first, crops, strict=True)]
    texts = reader.generate(chats, views, temperature)
    found = zip(texts, boxes, tasks, strict=True)
    valid = [box for box in boxes if box]
    return {
        "active": _share(
            parse_answer(t) == task.question.answer and box is not None for t, box, task in found
        ),
        "valid": len(valid) / len(boxes),
        "coverage": _share(
            coverage(box, task.evidence) if box else 0.0
            for box, task in zip(boxes, tasks, strict=True)
        ),
        "side": _share(box.area**0.5 for box in valid),
    }


def _share(values: Any) -> float:
    """Mean, 0 of nothing, rounded for reading."""
    listed = [float(value) for value in values]
    return round(sum(listed) / len(listed), 3) if listed else 0.0
