"""Zooming as a function call, under the chat templates of the families that know functions.

The templates are those that TRL ships; GLM-V, Kimi and InternVL are not among them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from active_perception_r1.families import FAMILIES
from active_perception_r1.models.chat import (
    functions_of,
    prompt_text,
    reply_text,
    template_message,
)
from active_perception_r1.modes import ACTIVE, BASELINE, STRICT_ZOOM
from active_perception_r1.sim.messages import Request
from active_perception_r1.utils.trace_parser import SYNTAXES
from tests.families import _tokenizer
from tests.scripted import MODEL, start, stop, text_of

IMAGE = "<|image_pad|>"
THOUGHT = "It is small.\n</think>\n\n"
# Template, family, syntax, the thought before a call if the template opens one, and options.
TEMPLATES: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("qwen2_5_vl", "qwen2_5_vl", "qwen2_5_vl", "", {}),
    ("qwen3_vl", "qwen3_vl", "qwen3_vl", "", {}),
    ("qwen3_5_think", "qwen3_5", "qwen3_5", THOUGHT, {}),
    ("qwen3_5_nothink", "qwen3_5", "qwen3_5", "", {}),
    ("qwen3_6", "qwen3_5", "qwen3_5", THOUGHT, {}),
    ("qwen3_6", "qwen3_5", "qwen3_5", "", {"enable_thinking": False}),
    ("qwen3_8", "qwen3_5", "qwen3_5", THOUGHT, {}),
    ("qwen3_8", "qwen3_5", "qwen3_5", THOUGHT, {"reasoning_effort": "low"}),
]


@functools.cache
def template(name: str) -> Callable[..., str]:
    text = (resources.files("trl") / "chat_templates" / f"{name}.jinja").read_text("utf-8")
    return functools.partial(
        _tokenizer("<|im_end|>", []).apply_chat_template, chat_template=text, tokenize=False
    )


def call(syntax: str) -> str:
    return SYNTAXES[syntax].example.replace("x0, y0, x1, y1", "10, 10, 80, 80")


def native(family: str, syntax: str) -> Any:
    changed = {"prompts": "native", "family": family, "zoom_syntax": syntax, "max_zooms": 2}
    return MODEL.model_copy(update=changed)


@pytest.mark.parametrize(("name", "family", "syntax", "thought", "options"), TEMPLATES)
def test_a_prompt_begins_with_the_last_one_and_the_reply_to_it(
    name: str, family: str, syntax: str, thought: str, options: dict[str, Any]
) -> None:
    write = functools.partial(prompt_text, template(name), placeholder=IMAGE, options=options)
    live = start(ACTIVE, model=native(family, syntax))
    said, number = write(live.request), 0
    while not live.finished and number < 2:
        reply = thought + f"  Look {number}. " + call(syntax)
        live.receive(stop(reply))
        following = write(live.request)
        assert following.startswith(said + reply + "<|im_end|>")
        said, number = following, number + 1
    assert said.count(IMAGE) == 3
    assert said.count("<tool_response>") == 2
    assert said.count("image_zoom_in_tool") >= 3  # declared, and called twice


@pytest.mark.parametrize(("name", "family", "syntax", "thought", "options"), TEMPLATES)
def test_a_template_that_is_given_whole_replies_writes_the_same(
    name: str, family: str, syntax: str, thought: str, options: dict[str, Any]
) -> None:
    """So ours is the template's own form. Qwen3.8's takes a thought only apart from the reply."""
    live = start(ACTIVE, model=native(family, syntax))
    live.receive(stop(thought + call(syntax)))
    ours = prompt_text(template(name), live.request, IMAGE, options)
    theirs = _written_anew(template(name), live.request, options)
    assert (ours == theirs) == (name != "qwen3_8")


def _written_anew(write: Callable[..., str], request: Request, options: dict[str, Any]) -> str:
    messages = [template_message(message, IMAGE) for message in request if message.parts]
    return write(messages, add_generation_prompt=True, **functions_of(request), **options)


def test_the_crop_is_the_tools_answer_and_the_last_one_says_so() -> None:
    live = start(ACTIVE, model=native("qwen3_vl", "qwen3_vl"))
    assert [message.role for message in live.request] == ["system", "user"]
    assert "image_zoom_in_tool" in live.request[0].tools[0]
    live.receive(stop(call("qwen3_vl")))
    assert live.request[-1].role == "tool"
    assert len(live.request[-1].images) == 1
    assert text_of(live.request[-1]) == ""
    live.receive(stop(call("qwen3_vl")))
    assert "answer now" in text_of(live.request[-1])


def test_each_call_of_a_turn_has_an_answer_of_its_own() -> None:
    live = start(ACTIVE, model=native("qwen3_vl", "qwen3_vl"))
    beyond = call("qwen3_vl").replace("80, 80", "8000, 80")
    live.receive(stop(beyond + call("qwen3_vl")))
    refused, shown = live.request[-2:]
    assert refused.role == shown.role == "tool"
    assert "outside the page" in text_of(refused)
    assert len(shown.images) == 1


def test_where_the_template_knows_no_functions_the_system_message_declares_them() -> None:
    live = start(ACTIVE, model=native("qwen2_5_vl", "qwen2_5_vl"))
    assert live.request[0].tools == ()
    assert '"name": "image_zoom_in_tool"' in text_of(live.request[0])
    live.receive(stop(call("qwen2_5_vl")))
    assert live.request[-1].role == "user"
    assert text_of(live.request[-1]).startswith("<tool_response>")


def test_a_mode_without_the_tool_declares_none() -> None:
    live = start(BASELINE, model=native("qwen3_vl", "qwen3_vl"))
    assert [message.role for message in live.request] == ["user"]


def test_a_duty_to_zoom_is_told() -> None:
    live = start(STRICT_ZOOM, model=native("qwen3_vl", "qwen3_vl"))
    assert "before you answer" in text_of(live.request[1])


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].marks])
def test_special_tokens_that_are_words_of_a_family_survive_decoding(family: str) -> None:
    marks = FAMILIES[family].marks
    tokenizer = _tokenizer("<|im_end|>", [*marks, "<|image_pad|>"])
    said = f"a{marks[0]}b{marks[1]}"
    tokens = tokenizer(said + "<|im_end|><pad>")["input_ids"]
    assert reply_text(tokenizer, tokens, marks) == said
    assert reply_text(tokenizer, tokens, ()) == "ab"
