"""The tiny VLM: its texts, its training forward against the stock one, resuming, what ships."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from active_perception_r1.cli import main
from active_perception_r1.data.synthetic import LAYOUTS, render_page
from active_perception_r1.envs.zoom_simulator import ViewRules, tile_views
from active_perception_r1.geometry import Box, coverage
from recipes.tiny_zoom_vlm import train as training
from recipes.tiny_zoom_vlm.architecture import build_model, packed_states, token_logits
from recipes.tiny_zoom_vlm.conversations import (
    ANSWER_REQUEST,
    MAY_ZOOM,
    ZOOM_REQUESTS,
    demonstration,
)
from recipes.tiny_zoom_vlm.curriculum import Mix
from recipes.tiny_zoom_vlm.packing import ASSISTANT_TURN, USER_TURN, Kind, Packer
from recipes.tiny_zoom_vlm.squares import demonstrated_zoom, reading_box, tiles, view
from recipes.tiny_zoom_vlm.tokenizer import build_processor, build_tokenizer

SHIPPED = Path(__file__).parents[1] / "models" / "tiny-zoom-vlm"
ZOOM = '<zoom_roi x0="0.25" y0="0.40" x1="0.45" y1="0.60"/>'
AIM = training.TrainSettings().closing_aim
QUESTION = "What is the value of row B, column Q?"


@pytest.mark.parametrize(
    "text",
    [
        ZOOM,
        "<answer>47</answer>",
        *(f"{QUESTION}{request}" for request in (*ZOOM_REQUESTS, ANSWER_REQUEST)),
        "What is the value of bar H? Answer directly.",
        "What is the value of A in the inset? You may zoom.",
        "Where is column T?",
    ],
)
def test_every_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer(f"{text}<|im_end|>")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_every_question_is_in_the_vocabulary() -> None:
    tokenizer, rng = build_tokenizer(), random.Random(0)
    for layout in LAYOUTS:
        texts = [q.text for _ in range(20) for q in render_page(rng, layout).questions]
        assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(texts)["input_ids"])


def test_unknown_text_becomes_unknown_tokens() -> None:
    ids = build_tokenizer()("Total à payer: 12,50 € <b>").input_ids
    assert build_tokenizer().unk_token_id in ids


def user_turn(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def conversation() -> tuple[list[dict[str, Any]], list[tuple[str, Kind]], list[Any]]:
    """A two-turn episode as a chat and as a packed conversation, with its images."""
    page = render_page(random.Random(3), "table")
    question = page.questions[0].text
    images = [view(page.image), view(page.image, Box(0.25, 0.40, 0.45, 0.60))]
    chat = [
        user_turn(f"{question} Zoom first."),
        {"role": "assistant", "content": ZOOM},
        user_turn(f"{question} Answer directly."),
    ]
    packed = [
        (f"{question} Zoom first.{ASSISTANT_TURN}{ZOOM}<|im_end|>\n", Kind.CONTEXT),
        (f"{USER_TURN}{question} Answer directly.{ASSISTANT_TURN}", Kind.CONTEXT),
        ("<answer>47</answer><|im_end|>", Kind.ANSWER),
    ]
    return chat, packed, images


def test_training_sees_the_tokens_and_pixels_of_the_stock_processor() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    processor = build_processor(tokenizer)
    model = build_model(tokenizer).eval()
    chat, packed, images = conversation()
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    text = prompt + "<answer>47</answer><|im_end|>"
    stock = processor(text=[text], images=[images], return_tensors="pt")
    packer = Packer(tokenizer)
    packer.add(images, 0, [packed])
    batch = packer.batch()
    assert batch.tokens.tolist() == stock["input_ids"].tolist()
    assert batch.target_columns.tolist() == list(range(batch.tokens.shape[1])[-5:])
    with torch.no_grad():
        states = packed_states(model, *map(torch.from_numpy, _inputs(batch)))
        logits = token_logits(model, states)
        torch.testing.assert_close(logits, model(**stock).logits, rtol=1e-3, atol=1e-4)


def test_training_sees_tiles_as_the_stock_processor_shows_them() -> None:
    tokenizer = build_tokenizer()
    page = render_page(random.Random(3), "table").image
    text = f"{QUESTION}{ANSWER_REQUEST}"
    chat = [user_turn(text)]
    chat[0]["content"].insert(0, {"type": "image"})
    processor = build_processor(tokenizer)
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    shown = list(tile_views(page, 2, ViewRules(112**2)))
    stock = processor(text=[prompt], images=[shown], return_tensors="pt")
    packer = Packer(tokenizer)
    answer = [(f"{text}{ASSISTANT_TURN}", Kind.CONTEXT), ("<answer>", Kind.FORMAT)]
    packer.add(tiles(page), 0, [answer], opening=2)
    batch = packer.batch()
    assert batch.tokens[:, :-1].tolist() == stock["input_ids"].tolist()
    pixels = batch.images.transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(stock["pixel_values"][0].numpy(), pixels, atol=1e-5)


def test_packed_conversations_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer).eval()
    image = view(render_page(random.Random(3), "form").image)
    first, second = ([(f"Where is {letter}?", Kind.PLACE)] for letter in "AB")
    packer, alone = Packer(tokenizer), Packer(tokenizer)
    packer.add([image], 0, [first, second])
    alone.add([image], 0, [second])
    with torch.no_grad():
        together, single = (
            packed_states(model, *map(torch.from_numpy, _inputs(p.batch())))
            for p in (packer, alone)
        )
    length = len(tokenizer("Where is B?").input_ids)
    torch.testing.assert_close(together[:, -length:], single[:, -length:], rtol=1e-3, atol=1e-4)


def _inputs(batch: Any) -> tuple[Any, ...]:
    return batch.tokens, batch.positions, batch.segments, batch.images


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_boxes_show_the_value_and_demonstrations_may_miss_it(layout: str) -> None:
    rng, shown = random.Random(0), []
    for _ in range(200):
        page = render_page(rng, layout, large_print=True)
        question = rng.choice(page.questions)
        evidence = page.words[question.word_index].box
        box = reading_box(page, question, rng.uniform(0.075, 0.3), rng)
        assert coverage(box, evidence) > 0.999
        aimed = demonstrated_zoom(page, question, AIM, rng)
        assert aimed.inside_page
        shown.append(coverage(aimed, evidence) > 0.99)
    assert 0.3 < np.mean(shown) < 0.8


def test_demonstrations_zoom_mostly_in_whatever_print_and_always_where_they_must() -> None:
    """Not to zoom on large print is for reinforcement learning to find."""
    rng = random.Random(0)
    zoomed: dict[tuple[bool, bool], list[bool]] = {}
    for _ in range(1000):
        page = render_page(rng, "form", large_print=True)
        total, *others = page.questions
        question = total if rng.random() < 0.5 else rng.choice(others)
        (request, _), *reply = demonstration(page, question, AIM, rng)
        (chosen,) = (text for text, kind in reply if kind is Kind.CHOICE)
        key = question.large_print, MAY_ZOOM in request
        zoomed.setdefault(key, []).append(chosen.startswith("<zoom_roi"))
    assert 0.5 < np.mean(zoomed[True, True]) < 0.65
    assert 0.8 < np.mean(zoomed[False, True]) < 0.95
    assert all(zoomed[True, False] + zoomed[False, False])


@pytest.mark.slow
def test_a_killed_run_resumes_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = Mix(crops=16, pages=4, episodes=0, tiles=0)
    settings = training.TrainSettings(
        steps=3,
        closing_steps=0,
        last_steps=0,
        table_steps=0,
        processes=1,
        search_mix=mix,
        save_every=2,
        log_every=1,
    )
    whole = training.train(settings, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(training, "learning_rate", _fails_at_step_2)
        with pytest.raises(KeyboardInterrupt):
            training.train(settings, tmp_path / "cut")
    resumed = training.train(settings, tmp_path / "cut")
    assert resumed.steps == whole.steps == 3
    assert resumed.conversations == whole.conversations
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def _fails_at_step_2(settings: training.TrainSettings, step: int, settled: int | None) -> float:
    if step == 2:
        raise KeyboardInterrupt
    return _learning_rate(settings, step, settled)


_learning_rate = training.learning_rate


def test_the_learning_rate_falls_once_places_are_known() -> None:
    settings = training.TrainSettings(steps=1000)
    rates = [training.learning_rate(settings, step, settled_at=200) for step in range(1000)]
    assert rates[0] < 0.05
    assert rates[60:300] == [1.0] * 240
    assert rates[300:] == sorted(rates[300:], reverse=True)
    assert rates[-1] == 0.03
    assert training.learning_rate(settings, 499, None) == 1.0


def test_the_shipped_folder_is_small_and_plain() -> None:
    files = [file for file in SHIPPED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 12_000_000
    assert not [file for file in files if file.suffix in {".py", ".pt", ".bin"}]
    assert type(AutoProcessor.from_pretrained(SHIPPED)).__name__ == "Idefics3Processor"
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED)
    text = model.config.text_config
    assert text.hidden_size // text.num_attention_heads == 32  # the least that vLLM's CPU takes


@pytest.mark.slow
def test_the_shipped_model_zooms_and_reads(tmp_path: Path) -> None:
    """On held-out pages, through the pipeline's own stages."""
    done = main(
        ["benchmark", "--model-id=tiny-zoom-vlm", "--samples=48", f"--output-dir={tmp_path}"]
    )
    assert done == 0
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    by_mode = {row["mode"]: row for row in rows}
    for layout in LAYOUTS:
        assert by_mode["oracle"]["by_layout"][layout]["accuracy"] >= 0.85
    assert by_mode["active"]["zoom_rate"] == 1
