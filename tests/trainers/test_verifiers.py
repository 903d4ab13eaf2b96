"""verifiers plays the episodes of the pipeline: `Env.run`, against a server with images."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment, resolve_env_config

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import ConfigError
from active_perception_r1.records import Episode
from active_perception_r1.rewards.active_vision_reward import episode_reward
from examples.verifiers_eval import play
from tests.trainers import ENTRY, REPOSITORY
from tests.trainers.chat_server import MODEL, ChatServer, chat_server

CONFIG = REPOSITORY / "workflow_config.yaml"


@pytest.fixture(scope="module")
def server(settings: ModelConfig) -> Iterator[ChatServer]:
    with chat_server(settings) as serving:
        yield serving


def environment(questions: Path, **changed: Any) -> vf.Env:
    taskset = {"id": "active-perception-zoom", "config": CONFIG, "questions": questions, **changed}
    return load_environment(resolve_env_config({"taskset": taskset}))


def asking(url: str) -> vf.ModelContext:
    client = vf.EvalClientConfig(base_url=url, api_key_var="NO_SUCH_KEY")
    return vf.ModelContext(model=MODEL, client=client, sampling=vf.SamplingConfig(temperature=0.0))


@pytest.fixture(scope="module")
def played(server: ChatServer, slice_path: Path, predictions: list[Episode]) -> list[vf.Episode]:
    env = environment(slice_path)
    return asyncio.run(play(env, asking(server.url), count=len(predictions)))


def test_the_shipped_model_writes_the_turns_of_the_predictions(
    played: list[vf.Episode], predictions: list[Episode]
) -> None:
    for episode, prediction in zip(played, predictions, strict=True):
        assert episode.ok, [*episode.errors, *(t.errors for t in episode.traces)]
        (trace,) = episode.traces
        written = [node.message.content for node in trace.nodes if node.sampled]
        assert written == [turn.text for turn in prediction.turns]
        recorded = Episode.from_json(trace.info["episode"])
        assert [turn.prompt_id for turn in recorded.turns] == [
            turn.prompt_id for turn in prediction.turns
        ]
        assert recorded.steps == prediction.steps
        assert (recorded.answer, recorded.tool_status) == (
            prediction.answer,
            prediction.tool_status,
        )


def test_a_conversation_is_one_branch_with_its_images(
    played: list[vf.Episode], predictions: list[Episode]
) -> None:
    for episode, prediction in zip(played, predictions, strict=True):
        (branch,) = episode.traces[0].branches
        parts = [
            part
            for message in branch.messages
            if not isinstance(message.content, str)
            for part in message.content
        ]
        assert sum(part.type == "image_url" for part in parts) == len(prediction.turns)


def test_the_reward_is_that_of_the_pipeline(
    played: list[vf.Episode], predictions: list[Episode], slice_path: Path
) -> None:
    samples = list(read_slice(slice_path))
    expected = [episode_reward(*pair) for pair in zip(predictions, samples, strict=True)]
    assert len({reward.reward for reward in expected}) > 2
    for episode, reward in zip(played, expected, strict=True):
        (trace,) = episode.traces
        assert trace.reward == pytest.approx(reward.reward)
        assert trace.metrics["coverage"] == pytest.approx(reward.coverage)
        assert trace.metrics["correct"] == reward.correct


def test_a_server_that_is_gone_is_an_error_and_no_answer(slice_path: Path) -> None:
    env = environment(slice_path)
    (episode,) = asyncio.run(play(env, asking("http://127.0.0.1:9/v1"), count=1))
    assert not episode.ok
    assert not episode.traces[0].rewards
    assert Episode.from_json(episode.traces[0].info["episode"]).tool_status == "backend_error"


def test_an_entry_that_declares_functions_is_refused(slice_path: Path, tmp_path: Path) -> None:
    view = {"max_pixels": 65536, "multiple": 32}
    native: dict[str, Any] = {
        "id": "x",
        "family": "qwen3_vl",
        "zoom_syntax": "qwen3_vl",
        "prompts": "native",
    }
    native |= {"first_view": view, "crop": view}
    study = {"dataset": {"source": "synthetic"}, "models": ["m"], "modes": ["active"]}
    (tmp_path / "config.json").write_text(
        json.dumps({"study": "demo", "studies": {"demo": study}, "models": {"m": native}})
    )
    env = environment(slice_path, config=tmp_path / "config.json", model="m")
    with pytest.raises(ConfigError, match="take prompts: standard"):
        list(env.taskset)


def test_the_example_plays_eight_questions(server: ChatServer, slice_path: Path) -> None:
    command = [sys.executable, "examples/verifiers_eval.py", "--questions", slice_path]
    command += ["--model", ENTRY, "--base-url", server.url, "--served-model", MODEL]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reward") == 8
