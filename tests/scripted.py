"""Samples and a scripted model, for tests of everything around a model."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw

from active_perception_r1.config import CropConfig, FirstView, ModelConfig
from active_perception_r1.geometry import Box
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.records import Episode, Evidence, Sample
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Message, Reply

ZOOM = '<zoom_roi x0="0.5" y0="0.5" x1="0.75" y1="0.75"/>'
AWAY = '<zoom_roi x0="0.0" y0="0.0" x1="0.2" y1="0.2"/>'
EVIDENCE = (Evidence("answer", Box(0.55, 0.55, 0.7, 0.65)),)

MODEL = ModelConfig(
    id="scripted",
    gpus=0,
    first_view=FirstView(max_pixels=10_000),
    crop=CropConfig(max_pixels=10_000, min_area=0.0025),
    max_zooms=2,
    max_turns=4,
)


def page_bytes(seed: int = 0, size: tuple[int, int] = (400, 300)) -> bytes:
    """A PNG page whose pixels depend on `seed`."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for i in range(12):
        x, y = (37 * i + 53 * seed) % size[0], (91 * i + 29 * seed) % size[1]
        draw.rectangle((x, y, x + 30, y + 20), fill=(20 * i, 11 * seed % 256, 128))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def make_sample(
    number: int = 0,
    *,
    answers: tuple[str, ...] = ("42",),
    evidence: tuple[Evidence, ...] = EVIDENCE,
    requires_zoom: bool = True,
    doc_id: str | None = None,
) -> Sample:
    return Sample(
        id=f"sample-{number}",
        doc_id=doc_id or f"page-{number}",
        image=page_bytes(number),
        width=400,
        height=300,
        question="What is the total?",
        answers=answers,
        evidence=evidence,
        requires_zoom=requires_zoom,
    )


SAMPLE, DECOY = make_sample(), make_sample(7)


def stop(text: str) -> Reply:
    return Reply(text, FinishReason.STOP, prompt_tokens=10, completion_tokens=5)


def start(
    mode: str = ACTIVE, sample: Sample | None = None, model: ModelConfig = MODEL
) -> LiveEpisode:
    return start_episode(sample or SAMPLE, episode_rules(mode, model), distractor=DECOY)


def run(
    replies: Sequence[str | Reply],
    mode: str = ACTIVE,
    sample: Sample | None = None,
    model: ModelConfig = MODEL,
) -> Episode:
    """An episode in which the model says `replies`, as many of them as it is asked for."""
    episode = start(mode, sample, model)
    script: Iterator[str | Reply] = iter(replies)
    while not episode.finished:
        reply = next(script)
        episode.receive(stop(reply) if isinstance(reply, str) else reply)
    return episode.record("scripted", "r0", 0)


def text_of(message: Message) -> str:
    return "".join(part for part in message.parts if isinstance(part, str))
