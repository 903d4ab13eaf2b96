"""The rows that verl reads, and the reward that it calls on what an episode leaves behind."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError, PayloadError, TrainingError
from active_perception_r1.modes import ACTIVE, STRICT_ZOOM, episode_rules, start_episode
from active_perception_r1.rewards.active_vision_reward import episode_reward
from active_perception_r1.rollout.episode_reward import compute_score
from active_perception_r1.rollout.episode_tally import EpisodeTally
from active_perception_r1.sim.messages import Request
from active_perception_r1.training.questions import divide_questions
from active_perception_r1.training.verl_data import PromptLimit, write_verl_data
from active_perception_r1.training.verl_metrics import (
    episodes_asked,
    rollouts,
    step_metrics,
    validated,
)
from tests.docvqa_files import png
from tests.scripted import AWAY, MODEL, ZOOM, make_sample, run, start, text_of
from tests.test_verl_run import metrics

RUN = LocalTraining(base="base", study="study", prompts_per_step=2)
AMPLE = PromptLimit(tokens=100, count=lambda request: 100)
SAMPLES = [make_sample(number) for number in range(3)]


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    write_samples(tmp_path / "data.parquet", SAMPLES)
    samples, output = tmp_path / "data.parquet", tmp_path / "verl.parquet"
    write_verl_data(samples, range(3), "study", MODEL, AMPLE, output)
    found: list[dict[str, Any]] = pq.read_table(tmp_path / "verl.parquet").to_pylist()
    return found


def test_a_page_that_the_family_does_not_take_costs_its_row_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = tmp_path / "data.parquet", tmp_path / "verl.parquet"
    flat = replace(SAMPLES[1], image=png(20, 5900), width=20, height=5900)
    write_samples(data, [SAMPLES[0], flat, SAMPLES[2]])
    model = MODEL.model_copy(update={"family": "qwen2_5_vl"})
    usable = divide_questions("mine", RUN, model, data).training
    assert usable == {0, 2}
    assert "sample 'sample-1' left out: an image of 20 x 5900 pixels" in capsys.readouterr().err
    write_verl_data(data, usable, "study", model, AMPLE, output)
    infos = pq.read_table(output).column("extra_info").to_pylist()
    assert [info["index"] for info in infos] == [0, 2]  # by which the agent loop finds the page
    with pytest.raises(DataError, match="2 samples, but a step of mine takes 3"):
        divide_questions("mine", RUN.model_copy(update={"prompts_per_step": 3}), model, data)


def test_questions_take_turns_in_the_modes_of_a_run(tmp_path: Path) -> None:
    data, output = tmp_path / "data.parquet", tmp_path / "verl.parquet"
    write_samples(data, SAMPLES)
    modes = (ACTIVE, STRICT_ZOOM)
    write_verl_data(data, range(3), "study", MODEL, AMPLE, output, modes=modes)
    rows = pq.read_table(output).to_pylist()
    assert [row["extra_info"]["mode"] for row in rows] == [ACTIVE, STRICT_ZOOM, ACTIVE]
    asked = [row["prompt"][-1]["content"] for row in rows]
    expected = [
        text_of(start_episode(sample, episode_rules(mode, MODEL)).request[-1])
        for sample, mode in zip(SAMPLES, (*modes, ACTIVE), strict=True)
    ]
    assert [text.replace("<image>", "") for text in asked] == expected
    assert asked[0] != asked[1].replace(SAMPLES[1].question, SAMPLES[0].question)


def test_prompts_that_verl_would_lose_are_refused_before_it_starts(tmp_path: Path) -> None:
    def count(request: Request) -> int:
        return 90 + 6 * sum("again" in str(part) for part in request[0].parts)

    data, output = tmp_path / "data.parquet", tmp_path / "verl.parquet"
    long = replace(SAMPLES[1], question="What is the total, once again?")
    write_samples(data, [SAMPLES[0], long, SAMPLES[2]])
    message = r"data.parquet: 1 of 3 prompts exceed max_prompt_tokens \(95\); .*'sample-1', has 96"
    with pytest.raises(DataError, match=message):
        write_verl_data(data, range(3), "study", MODEL, PromptLimit(95, count), output)
    assert not output.exists()
    write_verl_data(data, range(3), "study", MODEL, PromptLimit(96, count), output)


def test_where_functions_are_declared_a_row_has_all_messages(tmp_path: Path) -> None:
    data, output = tmp_path / "data.parquet", tmp_path / "verl.parquet"
    write_samples(data, SAMPLES)
    declared = {"prompts": "native", "family": "qwen2_5_vl", "zoom_syntax": "qwen2_5_vl"}
    write_verl_data(data, range(3), "study", MODEL.model_copy(update=declared), AMPLE, output)
    for system, asked in pq.read_table(output).column("prompt").to_pylist():
        assert system["role"] == "system"
        assert "image_zoom_in_tool" in system["content"]
        assert asked["content"].startswith("<image>")


def test_a_row_shows_what_an_episode_shows_first(rows: list[dict[str, Any]]) -> None:
    for sample, row in zip(SAMPLES, rows, strict=True):
        (opening,) = start(sample=sample).request
        (message,), (image,) = row["prompt"], row["images"]
        view = Image.open(io.BytesIO(image["bytes"]))
        assert view.tobytes() == opening.images[0].tobytes()
        assert message == {"role": "user", "content": f"<image>{opening.parts[1]}"}


def test_a_row_finds_its_page_and_its_truth(rows: list[dict[str, Any]]) -> None:
    for number, (sample, row) in enumerate(zip(SAMPLES, rows, strict=True)):
        info = row["extra_info"]
        assert info["index"] == number
        assert info["answers"] == list(sample.answers)
        assert row["reward_model"]["ground_truth"] == sample.answers[0]
        assert info["page_size"] == [sample.width, sample.height]
        assert sample.image not in json.dumps(info).encode()


@pytest.mark.parametrize(
    "replies",
    [[ZOOM, "<answer>42</answer>"], [AWAY, ZOOM, "<answer>41</answer>"], ["<answer>42</answer>"]],
)
def test_verl_pays_what_the_local_engine_pays(
    rows: list[dict[str, Any]], tmp_path: Path, replies: list[str]
) -> None:
    episode = run(replies, sample=SAMPLES[0])
    info = rows[0]["extra_info"] | {
        "policy_turns": [turn.text for turn in episode.turns],
        "tool_trace": json.dumps([asdict(step) for step in episode.steps]),
        "episode": episode.to_json(),
        "final_answer": episode.answer,
        "tool_status": str(episode.tool_status),
        "over_long": False,
        "image_count": 1,
        "global_step": 1,
    }
    truth = rows[0]["reward_model"]["ground_truth"]
    paid = compute_score("study", "<answer>no</answer>", truth, info, episodes=str(tmp_path))
    expected = episode_reward(episode, SAMPLES[0])
    assert paid["score"] == pytest.approx(expected.reward)
    logged = step_metrics(1, {"actor/lr": 0.1}, EpisodeTally(tmp_path).read(1), asked=1)
    assert logged.means["reward"] == pytest.approx(expected.reward)
    assert logged.means["relevance"] == pytest.approx(expected.relevance)
    assert logged.zoom_rate == (expected.shown > 0)
    assert logged.learning_rate == 0.1
    assert logged.failed == 0
    (kept,) = rollouts(1, EpisodeTally(tmp_path).read(1))
    assert kept["episode"] == json.loads(episode.to_json())
    of_local = {name: float(value) for name, value in asdict(expected).items()}
    assert kept["reward"] == pytest.approx(of_local)
    assert (kept["step"], kept["group"], kept["advantage"]) == (1, 0, 0)


def test_an_episode_that_cannot_be_rewarded_is_counted_with_its_error(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    about = rows[0]["extra_info"] | {
        "policy_turns": ["no JSON"],
        "tool_trace": "{",
        "global_step": 1,
    }
    with pytest.raises(PayloadError):
        compute_score("study", "", "42", about, episodes=str(tmp_path))
    found = EpisodeTally(tmp_path).read(1)
    assert not found.rewarded
    assert found.reason.startswith("PayloadError: extra_info: tool_trace: ")
    assert found.reason.endswith(" (1 times)")


@pytest.mark.parametrize("said", ["a\u2028b", "a\u0085b", "a\nb\r\nc", "a\x1eb"])
def test_a_reply_is_one_line_whatever_separators_are_in_it(tmp_path: Path, said: str) -> None:
    tally = EpisodeTally(tmp_path)
    tally.append(1, {"id": "q", "said": said})
    assert [row["said"] for row in tally.read(1).rewarded] == [said]


def test_a_line_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    tally = EpisodeTally(tmp_path)
    tally.append(1, {"id": "q0", "reward": 1.0})
    tally.append(1, {"id": "q1", "reward": 1.0})
    whole = tally.path(1).read_bytes()
    tally.path(1).write_bytes(whole[:-1])
    assert [row["id"] for row in tally.read(1).rewarded] == ["q0"]
    tally.path(1).write_bytes(whole)
    assert [row["id"] for row in tally.read(1).rewarded] == ["q0", "q1"]


@pytest.mark.parametrize(
    ("logged", "asked"),
    [
        ({}, 32),
        ({"training/filter_groups/evicted_samples": 3.0}, 56),
        (
            {
                "training/filter_groups/evicted_samples": 3.0,
                "training/filter_groups/discarded_surplus_samples": 1.0,
            },
            64,
        ),
    ],
)
def test_groups_that_verl_draws_again_are_asked_for_as_well(
    logged: dict[str, float], asked: int
) -> None:
    assert episodes_asked(logged, prompts=4, samples=8) == asked


def test_a_validation_is_of_all_its_questions_or_of_none(tmp_path: Path) -> None:
    tally = EpisodeTally(tmp_path)
    for number, correct in enumerate([0.0, 1.0, 1.0, 1.0]):
        row = {"id": f"q{number}", "doc_id": f"d{number}", "reward": correct, "correct": correct}
        tally.append(4, row)
    found = validated(metrics(4), tally.read(4), asked=4)
    assert found.validation_correct == 0.75
    assert found.validation_documents == 4
    tally.failed(4, "q4", RuntimeError("no page"))
    with pytest.raises(TrainingError, match="step 4: 4 of 5 .*: RuntimeError: no page"):
        validated(metrics(4), tally.read(4), asked=5)
