"""The openai backend against a server that fails, stalls, limits, cuts off and talks nonsense."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import openai._base_client
import pytest
from PIL import Image

from active_perception_r1.cli import main
from active_perception_r1.config import (
    CropConfig,
    DecodingConfig,
    FirstView,
    ModelConfig,
    OpenAIConfig,
)
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends.openai import OpenAIBackend
from active_perception_r1.models.infer import infer
from active_perception_r1.models.load import load_backend
from active_perception_r1.modes import BASELINE
from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.sim.messages import FinishReason, Message, Request
from tests.misbehaving_server import MODEL, MisbehavingServer, misbehaving_server
from tests.scripted import make_sample

PAGE = Image.effect_noise((30, 20), 60).convert("RGB")
KEY = "sk-a-secret-of-the-user"


def ask(text: str = "What is the total?") -> Request:
    return (Message("user", (PAGE, text)),)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)  # tests need not wait
    with misbehaving_server() as server:
        yield server


def entry(server: MisbehavingServer, **options: object) -> ModelConfig:
    # Only a server that stalls is to be given up, however busy the machine is.
    seconds = 0.4 if "stall" in server.script else 60
    settings = {"base_url": server.url, "timeout_seconds": seconds, "retries": 2, **options}
    return ModelConfig(
        id=MODEL,
        backend="openai",
        gpus=0,
        openai=OpenAIConfig.model_validate(settings),
        first_view=FirstView(max_pixels=1000),
        crop=CropConfig(max_pixels=1000),
        max_new_tokens=9,
    )


@pytest.fixture
def backend(server: MisbehavingServer) -> OpenAIBackend:
    return OpenAIBackend(entry(server))


def test_a_conversation_reaches_the_server_whole_and_without_loss(
    server: MisbehavingServer, backend: OpenAIBackend
) -> None:
    crop = Message("user", (PAGE.rotate(180), "And now?"))
    (reply,) = backend.generate([(*ask(), Message("assistant", ("<zoom_roi/>",)), crop)])
    ((_, _, body),) = server.received
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    image, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is the total?"}
    encoded = image["image_url"]["url"].removeprefix("data:image/png;base64,")
    sent = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert sent.tobytes() == PAGE.tobytes()
    assert (body["model"], body["max_tokens"]) == (MODEL, 9)
    assert (reply.text, reply.finish_reason) == ("<answer>42</answer>", FinishReason.STOP)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.error) == (7, 3, "")
    assert reply.seconds > 0


def test_every_key_of_decoding_is_sent_so_that_no_default_of_the_server_counts(
    server: MisbehavingServer, backend: OpenAIBackend
) -> None:
    backend.generate([ask()])
    ((_, _, body),) = server.received
    neutral = {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0, "repetition_penalty": 1}
    neutral |= {"presence_penalty": 0, "frequency_penalty": 0}
    assert {key: body[key] for key in DecodingConfig.model_fields} == neutral


def test_a_reply_that_ran_out_of_tokens_says_so(
    server: MisbehavingServer, backend: OpenAIBackend
) -> None:
    server.script = ["length"]
    assert backend.generate([ask()])[0].finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("fault", ["fail", "stall", "cut", "limit"])
def test_what_passes_is_tried_again(fault: str, server: MisbehavingServer) -> None:
    server.script = [fault]
    (reply,) = OpenAIBackend(entry(server)).generate([ask()])
    assert (reply.text, reply.error) == ("<answer>42</answer>", "")
    assert len(server.received) == 2


def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(
    server: MisbehavingServer, backend: OpenAIBackend
) -> None:
    server.script = ["limit"]
    backend.generate([ask()])
    (first, _, _), (second, _, _) = server.received
    assert second - first >= float(server.retry_after)


@pytest.mark.parametrize(
    ("fault", "tries", "error"),
    [
        ("fail", 3, "InternalServerError"),
        ("stall", 3, "APITimeoutError"),
        ("cut", 3, "APIConnectionError"),
        ("limit", 3, "RateLimitError"),
        ("refuse", 1, "prompt is too long"),
        ("garbage", 1, "is not a completion"),
        ("empty", 1, "is not a completion"),
        ("filtered", 1, "ended for the reason 'content_filter'"),
    ],
)
def test_what_does_not_pass_is_the_error_of_one_request_and_of_no_other(
    fault: str, tries: int, error: str, server: MisbehavingServer
) -> None:
    server.retry_after = "0.01"
    server.script = ["ok", *[fault] * tries]
    backend = OpenAIBackend(entry(server, concurrency=1))
    before, failed, after = backend.generate([ask("a"), ask("b"), ask("c")])
    assert not before.error
    assert not after.error
    assert failed.finish_reason is FinishReason.ERROR
    assert error in failed.error
    assert "\n" not in failed.error
    assert len(server.received) == 2 + tries


def test_no_more_requests_are_under_way_than_allowed(server: MisbehavingServer) -> None:
    server.work_seconds = 0.1  # long enough for three to meet on a busy machine
    backend = OpenAIBackend(entry(server, concurrency=3))
    replies = backend.generate([ask(str(i)) for i in range(20)])
    assert not any(reply.error for reply in replies)
    assert server.most_at_once == 3


def test_a_request_is_sampled_with_the_same_seed_in_whatever_company(
    server: MisbehavingServer, backend: OpenAIBackend
) -> None:
    backend.generate([ask("a"), ask("b")])
    backend.generate([ask("b")])
    seeds = {body["messages"][0]["content"][1]["text"]: set() for _, _, body in server.received}
    for _, _, body in server.received:
        seeds[body["messages"][0]["content"][1]["text"]].add(body["seed"])
    assert len(seeds["b"]) == 1
    assert seeds["a"] != seeds["b"]


def test_the_key_comes_from_the_environment_and_goes_nowhere_but_to_the_server(
    server: MisbehavingServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    settings = entry(server, api_key_env="SOME_KEY")
    backend = load_backend(settings)
    server.script = ["refuse"]
    refused, answered = backend.generate([ask()])[0], backend.generate([ask()])[0]
    assert all(headers["authorization"] == f"Bearer {KEY}" for _, headers, _ in server.received)
    for written in (settings.model_dump_json(), caplog.text, backend.revision, refused.error):
        assert KEY not in written
    assert not answered.error


def test_a_key_that_is_not_in_the_environment_is_asked_for_by_name(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(BackendError, match="SOME_KEY is not set"):
        load_backend(entry(server, api_key_env="SOME_KEY"))


def test_a_model_that_is_not_served_is_refused_with_those_that_are(
    server: MisbehavingServer,
) -> None:
    with pytest.raises(BackendError, match=f"does not serve 'other'; it serves: {MODEL}"):
        load_backend(entry(server, model="other"))


def test_a_server_that_is_not_there_is_named_before_anything_is_asked() -> None:
    with misbehaving_server() as server:
        settings = entry(server, retries=0)
    with pytest.raises(BackendError, match="no list of models .* is the server up"):
        load_backend(settings)


def test_a_served_model_can_be_tried_from_the_command_line(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    options = ["--model-id", MODEL, "--base-url", server.url, "--samples", "2"]
    assert main(["benchmark", *options, "--output-dir", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["n"] for row in report["rows"]] == [2, 2, 2]
    assert report["model"]["backend"] == "openai"
    assert len(server.received) == 6


@pytest.mark.slow
def test_a_server_that_dies_loses_nothing_and_the_next_run_goes_on(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    slice_path, output = tmp_path / "slice.parquet", tmp_path / "active.jsonl"
    write_samples(slice_path, [make_sample(i) for i in range(80)])
    settings = entry(server, retries=0).model_copy(update={"max_concurrent_episodes": 16})

    def run() -> None:
        infer(slice_path, "served", settings, BASELINE, output, tmp_path / "partial")

    server.script = ["ok"] * 20 + ["cut"] * 100
    with pytest.raises(BackendError, match="the engine is gone"):
        run()
    assert not output.exists()
    server.script.clear()
    asked = len(server.received)
    run()
    assert len(server.received) - asked == 80 - 20
    episodes = [Episode.from_json(line) for line in output.read_text().splitlines()]
    assert [episode.sample_id for episode in episodes] == [make_sample(i).id for i in range(80)]
    assert {episode.tool_status for episode in episodes} == {ToolStatus.ANSWERED}
