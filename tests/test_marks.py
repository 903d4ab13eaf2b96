"""Marks that stand in a question or a reply are text, on every road to a model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.config import ModelConfig, OpenAIConfig, parse_section
from active_perception_r1.data.samples import write_samples
from active_perception_r1.models.backends._openai_wire import Wire
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import ACTIVE
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.marks import data_as_text, reply_as_text
from active_perception_r1.training.verl_data import PromptLimit, write_verl_data
from tests.families import BUILDERS, build
from tests.scripted import MODEL, ZOOM, make_sample, start, stop, text_of

MEDIA = (
    *("<image>", "<video>", "<audio>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>"),
    *("<|media_pad|>", "<IMG_CONTEXT>", "<fake_token_around_image>", "<row_1_col_2>", "[IMG]"),
)
TURNS = ("<|im_end|>", "<|im_start|>", "</s>", "<|endoftext|>", "<end_of_utterance>")
MARKS = (*MEDIA, *TURNS)
ODD = "What is after " + " and ".join(MARKS) + "?"
PLAIN = "What is after all of them?"


def started(question: str, model: ModelConfig = MODEL) -> LiveEpisode:
    return start(ACTIVE, replace(make_sample(), question=question), model)


@given(st.lists(st.sampled_from([*MARKS, "<", ">", "|", "a", " ", "image", "[", "]"])))
def test_no_mark_is_left_in_a_text_of_the_data(pieces: list[str]) -> None:
    text = data_as_text("".join(pieces))
    assert not [mark for mark in MARKS if mark in text]
    assert data_as_text(text) == text
    assert text.replace(" ", "") == "".join(pieces).replace(" ", "")


@pytest.mark.parametrize(
    "text",
    ["a < b > c", "<table>", "x|y|z", "[1] <0.5", "<answer>42</answer>", "<|not a mark|>", ZOOM],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert data_as_text(text) == reply_as_text(text) == text


@pytest.mark.parametrize(
    "text",
    ["<|begin_of_box|>[1, 2]<|end_of_box|>", "<|tool_call_begin|>", "<think>", "<box>[[1]]</box>"],
)
def test_what_belongs_to_the_words_of_a_model_is_left_to_it(text: str) -> None:
    assert reply_as_text(text) == text


def test_an_episode_says_no_mark_whoever_wrote_it() -> None:
    episode = started(ODD)
    episode.receive(stop(f"{' '.join(MARKS)} {ZOOM} <zoom_roi {MARKS[0]}/>"))
    texts = [text_of(message) for message in episode.request]
    assert len(texts) == 3
    assert not [mark for mark in MARKS for text in texts if mark in text]


def test_verl_finds_one_image_in_a_prompt_and_nothing_else(tmp_path: Path) -> None:
    write_samples(tmp_path / "samples", [replace(make_sample(), question=ODD)])
    limit = PromptLimit(1, lambda request: 1)
    write_verl_data(tmp_path / "samples", [0], "study", MODEL, limit, tmp_path / "verl")
    ((message,),) = pq.read_table(tmp_path / "verl")["prompt"].to_pylist()
    found = [mark for mark in MARKS for _ in range(message["content"].count(mark))]
    assert found == ["<image>"]


def test_a_server_is_sent_no_mark() -> None:
    server = OpenAIConfig(base_url="http://localhost:1/v1")
    settings = MODEL.model_copy(update={"backend": "openai", "openai": server})
    body = json.dumps(Wire(settings).body(started(ODD).request)["messages"])
    assert not [mark for mark in MARKS if mark in body]


@pytest.mark.parametrize("family", BUILDERS)
def test_a_question_full_of_marks_has_the_special_tokens_of_any_other(
    family: str, tmp_path: Path
) -> None:
    settings = parse_section(ModelConfig, json.dumps(build(family, tmp_path / family)))
    backend = TransformersBackend(settings)
    tokenizer = backend.processor.tokenizer
    special = {*tokenizer.all_special_ids, backend.processor.image_token_id}

    def specials(question: str) -> Counter[int]:
        ids: Any = backend.encode([started(question, settings).request])["input_ids"]
        return Counter(id for id in ids[0].tolist() if id in special)

    assert specials(ODD) == specials(PLAIN)
    assert specials(PLAIN)[backend.processor.image_token_id] > 0
