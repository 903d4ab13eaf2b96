"""Hosted models: what they refuse is named with its cure, and what they call is a zoom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from active_perception_r1.config import (
    CropConfig,
    DecodingConfig,
    FirstView,
    ModelConfig,
    OpenAIConfig,
    PriceConfig,
    parse_section,
)
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import BackendError, ConfigError
from active_perception_r1.models.backends.openai import OpenAIBackend
from active_perception_r1.models.infer import infer
from active_perception_r1.modes import ACTIVE, BASELINE
from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.sim.function_calls import reads_functions
from active_perception_r1.utils.trace_parser import SYNTAXES
from tests.misbehaving_server import MODEL, MisbehavingServer, misbehaving_server
from tests.scripted import make_sample

BOX = {"bbox_2d": [500, 500, 750, 750], "label": "the total", "img_idx": 0}


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    path = tmp_path / "slice.parquet"
    write_samples(path, [make_sample(i) for i in range(4)])
    return path


def entry(server: MisbehavingServer, **openai: Any) -> ModelConfig:
    native = openai.get("tools") == "native"
    return ModelConfig(
        id=MODEL,
        backend="openai",
        gpus=0,
        openai=OpenAIConfig.model_validate({"base_url": server.url, "retries": 0, **openai}),
        prompts="native" if native else "standard",
        zoom_syntax="qwen3_vl" if native else "zoom_roi",
        first_view=FirstView(max_pixels=10_000),
        crop=CropConfig(max_pixels=10_000),
        max_new_tokens=9,
    )


def run(slice_path: Path, settings: ModelConfig, mode: str = BASELINE) -> list[Episode]:
    output = slice_path.parent / "out.jsonl"
    infer(slice_path, "hosted", settings, mode, output, slice_path.parent / "partial")
    return [Episode.from_json(line) for line in output.read_text().splitlines()]


def calls(*arguments: str) -> dict[str, Any]:
    functions = [{"name": "image_zoom_in_tool", "arguments": given} for given in arguments]
    listed = [{"id": f"id{i}", "type": "function", "function": f} for i, f in enumerate(functions)]
    return {"content": None, "tool_calls": listed}


class TestWhatAServerRefuses:
    @pytest.mark.parametrize(
        ("refused", "cure"),
        [
            ("max_tokens", "set openai.token_limit to max_completion_tokens"),
            ("temperature", "add temperature to openai.omit"),
            ("seed", "add seed to openai.omit"),
            ("top_k", "add top_k to openai.omit"),
            ("reasoning_effort", "take it out of openai.extra_body"),
        ],
    )
    def test_a_parameter_ends_the_run_at_once_with_the_key_that_cures_it(
        self, refused: str, cure: str, server: MisbehavingServer, slice_path: Path
    ) -> None:
        server.refuses = {refused}
        settings = entry(server, extra_body={"reasoning_effort": "low"}, concurrency=1)
        with pytest.raises(BackendError) as caught:
            run(slice_path, settings)
        told = str(caught.value)
        assert told.startswith(f"{server.url}: BadRequestError: Unsupported parameter: '{refused}'")
        assert told.endswith(f"; {cure}")
        assert "\n" not in told
        assert len(server.received) <= 2  # The next is on its way when the first comes back.

    def test_each_cure_works(self, server: MisbehavingServer, slice_path: Path) -> None:
        server.refuses = {"max_tokens", *DecodingConfig.model_fields, "seed"}
        omit = [*DecodingConfig.model_fields, "seed"]
        settings = entry(server, omit=omit, token_limit="max_completion_tokens")
        episodes = run(slice_path, settings)
        assert {episode.answer for episode in episodes} == {"42"}
        body = server.received[0][2]
        assert body.keys() == {"model", "messages", "max_completion_tokens"}

    def test_a_prompt_that_is_too_long_is_the_fault_of_one_request(
        self, server: MisbehavingServer
    ) -> None:
        server.script = ["refuse"]
        backend = OpenAIBackend(entry(server))
        (reply,) = backend.generate([()])
        assert reply.error.endswith(
            "too long; lower first_view.max_pixels, crop.max_pixels, max_zooms or max_new_tokens"
        )

    def test_a_model_is_not_looked_for_where_a_server_keeps_no_list(
        self, server: MisbehavingServer, slice_path: Path
    ) -> None:
        server.lists_models = False
        with pytest.raises(BackendError, match="set openai.check_models to false"):
            run(slice_path, entry(server))
        assert len(run(slice_path, entry(server, check_models=False))) == 4


def test_further_parameters_are_sent_as_they_are(server: MisbehavingServer) -> None:
    settings = entry(server, extra_body={"reasoning": {"effort": "low"}})
    settings = settings.model_copy(update={"chat_template_kwargs": {"enable_thinking": False}})
    OpenAIBackend(settings).generate([()])
    body = server.received[0][2]
    assert body["reasoning"] == {"effort": "low"}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


class TestNativeTools:
    @pytest.fixture(autouse=True)
    def _zooms(self, server: MisbehavingServer) -> None:
        server.answer = lambda body: (
            "<answer>42</answer>" if len(body["messages"]) > 1 else calls(json.dumps(BOX))
        )

    def test_a_call_is_a_zoom_and_the_crop_its_answer(
        self, server: MisbehavingServer, slice_path: Path
    ) -> None:
        episodes = run(slice_path, entry(server, tools="native"), ACTIVE)
        assert {episode.tool_status for episode in episodes} == {ToolStatus.ANSWERED}
        assert {len(episode.shown_crops) for episode in episodes} == {1}
        first, second = (
            next(body for _, _, body in server.received if len(body["messages"]) == count)
            for count in (1, 3)
        )
        (tool,) = first["tools"]
        assert tool["function"]["name"] == "image_zoom_in_tool"
        assert "tool_choice" not in first
        called, answered = second["messages"][1:]
        (call,) = called["tool_calls"]
        assert call["function"]["name"] == "image_zoom_in_tool"
        assert json.loads(call["function"]["arguments"]) == BOX
        assert (answered["role"], answered["tool_call_id"]) == ("tool", call["id"])
        assert answered["content"][0]["type"] == "image_url"

    def test_a_crop_can_come_from_the_user_where_tools_may_send_no_image(
        self, server: MisbehavingServer, slice_path: Path
    ) -> None:
        run(slice_path, entry(server, tools="native", crop_role="user"), ACTIVE)
        body = next(body for _, _, body in server.received if len(body["messages"]) > 1)
        called, answered, shown = body["messages"][1:]
        assert answered["tool_call_id"] == called["tool_calls"][0]["id"]
        assert {part["type"] for part in answered["content"]} == {"text"}
        assert shown["role"] == "user"
        assert [part["type"] for part in shown["content"]] == ["image_url"]

    def test_every_call_has_its_answer_even_one_that_cannot_be_understood(
        self, server: MisbehavingServer, slice_path: Path
    ) -> None:
        given = calls(json.dumps(BOX), '{"bbox_2d": [1', "{}")
        server.answer = lambda body: (
            "<answer>42</answer>" if len(body["messages"]) > 1 else dict(given)
        )
        episodes = run(slice_path, entry(server, tools="native"), ACTIVE)
        statuses = [step.status for step in episodes[0].steps]
        assert statuses == [ToolStatus.ZOOM_EXECUTED, *[ToolStatus.MALFORMED_ZOOM] * 2]
        body = next(body for _, _, body in server.received if len(body["messages"]) > 1)
        called, *answers = body["messages"][1:]
        ids = [call["id"] for call in called["tool_calls"]]
        assert [answer["tool_call_id"] for answer in answers] == ids
        assert all(
            isinstance(json.loads(call["function"]["arguments"]), dict)
            for call in called["tool_calls"]
        )

    def test_it_needs_a_tool_that_is_declared_and_calls_that_are_json(
        self, server: MisbehavingServer
    ) -> None:
        raw = entry(server, tools="native").model_dump()
        for change in ({"prompts": "standard"}, {"zoom_syntax": "qwen3_5"}):
            with pytest.raises(ConfigError, match="openai.tools native needs prompts native"):
                parse_section(ModelConfig, json.dumps({**raw, **change}))

    def test_the_syntaxes_that_can_read_it_are_the_json_calls(self) -> None:
        readable = {name for name in SYNTAXES if reads_functions(SYNTAXES[name])}
        assert {"qwen2_5_vl", "qwen3_vl", "deepeyes", "pixel_reasoner"} <= readable
        assert readable.isdisjoint({"zoom_roi", "qwen3_5", "kimi", "glm", "internvl"})


def test_calls_in_the_text_are_left_to_be_read_from_it(
    server: MisbehavingServer, slice_path: Path
) -> None:
    """The tool is declared, for the template; the server is told to parse nothing."""
    text = '<tool_call>{"name": "image_zoom_in_tool", "arguments": ' + json.dumps(BOX)
    server.answer = lambda body: (
        "<answer>42</answer>" if len(body["messages"]) > 1 else f"{text}}}</tool_call>"
    )
    settings = entry(server)
    settings = settings.model_copy(update={"prompts": "native", "zoom_syntax": "qwen3_vl"})
    episodes = run(slice_path, settings, ACTIVE)
    assert {len(episode.shown_crops) for episode in episodes} == {1}
    body = next(body for _, _, body in server.received if len(body["messages"]) > 1)
    assert body["tool_choice"] == "none"
    said, answered = body["messages"][1:]
    assert said == {"role": "assistant", "content": f"{text}}}</tool_call>"}
    assert answered["role"] == "tool"


class TestWhatMayStandInTheConfiguration:
    @pytest.mark.parametrize(
        ("section", "told"),
        [
            ({"extra_body": {"headers": {"Authorization": "x"}}}, "belongs into the environment"),
            ({"extra_body": {"temperature": 1}}, "temperature: set by other keys of the entry"),
            ({"omit": ["temprature"]}, "did you mean 'temperature'"),
            ({"omit": ["seed", "seed"]}, "'seed' is listed twice"),
            ({"token_limit": "max_length"}, "is not defined"),
        ],
    )
    def test_a_mistake_is_named(
        self, section: dict[str, Any], told: str, server: MisbehavingServer
    ) -> None:
        raw = json.dumps({"base_url": server.url, **section})
        with pytest.raises(ConfigError, match=told):
            parse_section(OpenAIConfig, raw)


def test_tokens_are_recorded_and_their_price_is_told(
    server: MisbehavingServer, slice_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    priced = entry(server).model_copy(update={"price": PriceConfig(input=1000, output=2000)})
    run(slice_path, priced)
    about = json.loads((slice_path.parent / "out.json").read_text())
    assert about["tokens"] == {"prompt": 4 * 7, "completion": 4 * 3}
    assert "hosted baseline: 28 tokens of prompts, 12 of replies, 0.05" in capsys.readouterr().err
