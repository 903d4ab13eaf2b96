"""Episodes as TRL's tool loop plays them, without TRL: it calls methods and a reward function.

What TRL itself and verifiers make of them is in tests/trainers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.environments.questions import Questions
from active_perception_r1.environments.trl_environment import (
    ImageZoomInTool,
    ZoomEnvironment,
    ZoomRoi,
    environment_factory,
    episode_reward,
    rows,
)
from active_perception_r1.errors import ConfigError
from active_perception_r1.modes import ACTIVE
from active_perception_r1.rewards import active_vision_reward
from tests.scripted import AWAY, MODEL, SAMPLE, ZOOM, make_sample, run, start, stop, text_of

END = 7
NATIVE = {"family": "qwen3_vl", "zoom_syntax": "qwen3_vl", "prompts": "native"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_samples(tmp_path / "slice.parquet", [SAMPLE, make_sample(1, answers=("7",))])
    return tmp_path / "slice.parquet"


def begin(path: Path, model: ModelConfig = MODEL) -> Any:
    """An environment at its first question."""
    environment = environment_factory(Questions(path, model))()
    environment.reset(index=0, prompt=[], other="columns are left alone")
    return environment


def end(environment: ZoomEnvironment, *messages: dict[str, Any], last: int = END) -> float:
    pay = episode_reward({END})
    (reward,) = pay(
        prompts=[[]], completions=[messages], completion_ids=[[1, last]], environments=[environment]
    )
    return reward


def said(text: str, *calls: str) -> dict[str, Any]:
    """A reply as TRL parses it."""
    functions = [{"function": {"name": "zoom_roi", "arguments": {"call": call}}} for call in calls]
    return {"role": "assistant", "content": text} | ({"tool_calls": functions} if calls else {})


SHOWN = {"role": "tool", "name": "zoom_roi", "content": []}


def test_a_row_is_a_position_and_the_environment_adds_page_and_question(path: Path) -> None:
    questions = Questions(path, MODEL)
    assert rows(questions) == [
        {"prompt": [{"role": "user", "content": ""}], "index": index} for index in range(2)
    ]
    environment = environment_factory(questions)()
    (message,) = start(ACTIVE).request
    image, text = environment.reset(index=0)
    assert image["image"] == message.images[0]
    assert text["text"] == text_of(message)


def test_a_call_shows_what_the_episode_would(path: Path) -> None:
    episode = start(ACTIVE)
    asked_with = len(episode.request)
    episode.receive(stop(ZOOM))
    image, text = begin(path).zoom_roi(ZOOM)
    assert image["image"] == episode.request[asked_with + 1].images[0]
    assert text["text"] == text_of(episode.request[asked_with + 1])


@pytest.mark.parametrize(
    "calls", [[], [ZOOM], [AWAY, ZOOM], [ZOOM, ZOOM], ["<zoom_roi x0=1/>"], ["<zoom_roi x0=1"]]
)
@pytest.mark.parametrize("answer", ["<answer>42</answer>", "<answer>1</answer>", "No idea."])
def test_it_is_paid_as_the_episode_is(path: Path, calls: list[str], answer: str) -> None:
    environment = begin(path)
    completion = []
    for call in calls:
        environment.zoom_roi(call)
        completion += [said("", call), SHOWN]
    expected = active_vision_reward.episode_reward(run([*calls, answer]), SAMPLE).reward
    assert end(environment, *completion, said(answer)) == pytest.approx(expected)


def test_an_environment_is_used_again(path: Path) -> None:
    environment = begin(path)
    environment.zoom_roi(ZOOM)
    assert end(environment, said("", ZOOM), SHOWN, said("<answer>42</answer>")) > 1
    environment.reset(index=1)
    assert end(environment, said("<answer>42</answer>")) < 0.1
    environment.reset(index=1)
    assert end(environment, said("<answer>7</answer>")) > 0.65


def test_a_reply_without_its_end_token_says_nothing_that_counts(path: Path) -> None:
    assert end(begin(path), said("<answer>42</answer>"), last=3) < 0.1
    assert end(begin(path), said("<answer>42</answer>"), last=END) > 0.65


def test_a_crop_that_trl_took_back_was_not_seen(path: Path) -> None:
    """It does, where no token would be left to answer with."""
    environment = begin(path)
    environment.zoom_roi(ZOOM)
    unseen = end(environment, said("", ZOOM))
    blind = active_vision_reward.episode_reward(run(["No idea."]), SAMPLE).reward
    assert unseen == pytest.approx(blind)


def test_no_crop_of_a_reply_that_trl_took_back_was_seen(path: Path) -> None:
    environment = begin(path)
    environment.zoom_roi(AWAY)
    environment.zoom_roi(ZOOM)
    environment.zoom_roi(AWAY)
    end(environment, said("", AWAY), SHOWN, said("", ZOOM, AWAY))
    steps = environment._live.record("", "", 0).steps
    assert [(step.raw, step.shown) for step in steps] == [(AWAY, True), (ZOOM, False)]


def test_a_crop_after_which_the_model_wrote_nothing_was_not_seen(path: Path) -> None:
    environment = begin(path)
    environment.zoom_roi(ZOOM)
    assert end(environment, said("", ZOOM), SHOWN) < 0


def test_a_call_that_trl_did_not_make_any_more_answers_nothing(path: Path) -> None:
    environment = begin(path)
    assert end(environment, said("<answer>42</answer>", ZOOM)) < 0


def test_after_its_end_an_episode_takes_no_call(path: Path) -> None:
    environment = begin(path, MODEL.model_copy(update={"max_turns": 1}))
    environment.zoom_roi(ZOOM)
    (told,) = environment.zoom_roi(ZOOM)
    assert told["text"] == "The episode is over."


def test_qwens_function_is_a_method_of_its_name(path: Path) -> None:
    native = MODEL.model_copy(update=NATIVE)
    environment = begin(path, native)
    assert isinstance(environment, ImageZoomInTool)
    (image,) = environment.image_zoom_in_tool(bbox_2d=[500, 500, 750, 750], label="total")
    assert image["type"] == "image"
    (refused,) = environment.image_zoom_in_tool(bbox_2d=[500, 500, 7500, 750])
    assert "outside the page" in refused["text"]
    completion = [said(""), SHOWN, said(""), SHOWN]
    assert end(environment, *completion, said("<answer>42</answer>")) > 1


def test_only_what_is_a_tool_is_public() -> None:
    """TRL offers every public method to the model, but for `reset`."""
    for kind, tool in ((ZoomRoi, "zoom_roi"), (ImageZoomInTool, "image_zoom_in_tool")):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert public == {"reset", tool}


@pytest.mark.parametrize(
    "changed",
    [{"zoom_syntax": "mini_o3"}, {"zoom_syntax": "qwen3_vl"}, {**NATIVE, "zoom_syntax": "qwen3_5"}],
)
def test_what_the_tool_loop_cannot_play_is_refused(path: Path, changed: dict[str, Any]) -> None:
    questions = Questions(path, MODEL.model_copy(update=changed))
    with pytest.raises(ConfigError, match="cannot be played by TRL's tool loop"):
        environment_factory(questions)
