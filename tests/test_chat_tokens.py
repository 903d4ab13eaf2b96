"""A training sequence, which only grows, against what evaluation gives the model in each turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor

from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.config.engines.verl import VERL_FAMILIES
from active_perception_r1.families import FAMILIES
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import ACTIVE
from active_perception_r1.rollout.chat_tokens import ChatTokens
from active_perception_r1.training.verl_overrides import assumed_image_options
from active_perception_r1.utils.trace_parser import SYNTAXES
from tests.families import BUILDERS, build
from tests.scripted import ZOOM, start, stop
from tests.test_native_protocol import template

STAND_INS = [family for family in BUILDERS if family in VERL_FAMILIES]
# A box in pixels of the first view, and one in thousandths of the page.
KNOW_FUNCTIONS = {"qwen2_5_vl": "5, 5, 25, 25", "qwen3_vl": "100, 100, 600, 600"}


def loaded(family: str, folder: Path, **changes: Any) -> TransformersBackend:
    """A stand-in as evaluation loads it; its processor would enlarge what the budgets allow."""
    multiple = FAMILIES[family].multiple
    view = {"max_pixels": 2 * multiple**2, "multiple": multiple}
    views = {"first_view": view, "crop": view}
    entry = build(family, folder) | views | {"zoom_syntax": "zoom_roi", **changes}
    return TransformersBackend(parse_section(ModelConfig, json.dumps(entry)))


def same_tokens(backend: TransformersBackend, call: str) -> None:
    """In both turns of an episode; the stand-ins have one token a byte, however it is cut."""
    settings, tokenizer = backend.settings, backend.processor.tokenizer
    processor: Any = AutoProcessor.from_pretrained(settings.id)  # type: ignore[no-untyped-call]
    processor.chat_template = backend.processor.chat_template
    tokens = ChatTokens(processor, settings, assumed_image_options(settings))
    live = start(ACTIVE, model=settings)
    before = live.request
    opening = tokens.opening(before)
    assert opening == backend.encode_afresh([before])["input_ids"][0].tolist()
    live.receive(stop(call))
    assert live.request[-1].images
    reply = [*tokenizer(call, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    following = tokens.following(before, live.request, reply[-1])
    shown = backend.encode_afresh([live.request])["input_ids"][0].tolist()
    assert opening + reply + following == shown


@pytest.mark.parametrize("family", STAND_INS)
def test_training_shows_the_tokens_that_evaluation_shows(family: str, tmp_path: Path) -> None:
    same_tokens(loaded(family, tmp_path), ZOOM)


@pytest.mark.parametrize("family", KNOW_FUNCTIONS)
def test_it_does_so_where_the_zoom_is_a_function(family: str, tmp_path: Path) -> None:
    backend = loaded(family, tmp_path, prompts="native", zoom_syntax=family)
    backend.processor.chat_template = template(family).keywords["chat_template"]
    same_tokens(backend, SYNTAXES[family].example.replace("x0, y0, x1, y1", KNOW_FUNCTIONS[family]))
