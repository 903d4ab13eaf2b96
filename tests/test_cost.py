"""What an episode cost: tokens of images and texts, pixels, seconds, and what was billed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from active_perception_r1.config import ModelConfig, PriceConfig
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import ACTIVE, BASELINE, CALL_ONLY
from active_perception_r1.records import Episode
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.scoring.leaderboard import leaderboard
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow
from active_perception_r1.scoring.looking_tables import cost_table
from active_perception_r1.scoring.score import score_rows
from active_perception_r1.scoring.tables import as_text
from active_perception_r1.sim.messages import FinishReason, Reply
from tests.misbehaving_server import MODEL as SERVED
from tests.misbehaving_server import misbehaving_server
from tests.score_tables import score_table
from tests.scripted import SAMPLE, ZOOM, run, start, stop

ANSWER = "<answer>42</answer>"


def reply(text: str, prompt: int, written: int, visual: int | None, **given: Any) -> Reply:
    return Reply(text, FinishReason.STOP, prompt, written, 0.5, visual_tokens=visual, **given)


def costs(episode: Episode) -> dict[str, float | None]:
    (row,) = score_rows([(SAMPLE, episode)], RewardConfig())
    names = ("visual_tokens", "text_tokens", "prompt_tokens", "completion_tokens", "crop_pixels")
    return {name: row.metrics[name] for name in (*names, "seconds", "visual_tokens_estimated")}


class TestAnEpisode:
    def test_images_and_texts_count_once_and_what_is_billed_every_turn(self) -> None:
        episode = run([reply(ZOOM, 100, 20, 64), reply(ANSWER, 200, 10, 128)])
        ((width, height),) = episode.crop_sizes
        assert costs(episode) == {
            "visual_tokens": 128,
            "text_tokens": 200 - 128 + 10,
            "prompt_tokens": 300,
            "completion_tokens": 30,
            "crop_pixels": width * height,
            "seconds": 1.0,
            "visual_tokens_estimated": 0.0,
        }

    def test_what_the_engine_could_not_tell_is_null(self) -> None:
        found = costs(run([reply(ANSWER, 0, 0, None)], BASELINE))
        assert {name for name, value in found.items() if value is None} == {
            *("visual_tokens", "text_tokens", "prompt_tokens", "completion_tokens"),
            "visual_tokens_estimated",
        }

    def test_an_error_of_the_engine_costs_nothing_that_could_be_compared(self) -> None:
        failed = Reply("", FinishReason.ERROR, error="gone")
        assert set(costs(run([reply(ZOOM, 100, 20, 64), failed])).values()) == {None}

    def test_a_call_for_which_nothing_is_shown_has_no_pixels(self) -> None:
        found = costs(run([reply(ZOOM, 100, 20, 64), reply(ANSWER, 120, 10, 64)], CALL_ONLY))
        assert (found["crop_pixels"], found["visual_tokens"]) == (0, 64)

    def test_an_estimate_is_marked_from_the_reply_to_the_table(self, tmp_path: Path) -> None:
        episode = run([reply(ANSWER, 100, 9, 64, visual_tokens_estimated=True)], BASELINE)
        assert Episode.from_json(episode.to_json()) == episode
        assert costs(episode)["visual_tokens_estimated"] == 1.0
        (row,) = rows_of(tmp_path, baseline={"visual_tokens_estimated": 1.0})
        assert cost_table([row])[0]["Visual tokens"].startswith("about ")


class TestWhoCounts:
    def test_transformers_counts_the_image_tokens_of_the_prompt(
        self, untrained_model: ModelConfig
    ) -> None:
        backend = TransformersBackend(untrained_model)
        zooming = start(ACTIVE, model=untrained_model)
        zooming.receive(stop(ZOOM))
        requests = [start(BASELINE, model=untrained_model).request, zooming.request]
        assert [reply.visual_tokens for reply in backend.generate(requests)] == [16, 32]
        assert not any(reply.visual_tokens_estimated for reply in backend.generate(requests))

    @pytest.mark.parametrize(("family", "tokens"), [("qwen3_vl", 9), ("llava", 576), (None, None)])
    def test_of_a_server_it_is_estimated_where_the_family_tells(
        self, family: str | None, tokens: int | None
    ) -> None:
        from active_perception_r1.models.backends.openai import OpenAIBackend

        view = {"max_pixels": 9 * 32**2, "multiple": 32}
        with misbehaving_server() as server:
            model = ModelConfig(
                id=SERVED,
                backend="openai",
                gpus=0,
                family=family,
                openai={"base_url": server.url},
                first_view=view,
                crop=view,
            )
            backend = OpenAIBackend(model)
            (told,) = backend.generate([start(BASELINE, model=model).request])
            backend.close()
        assert told.error == ""
        assert (told.visual_tokens, told.visual_tokens_estimated) == (tokens, tokens is not None)


def rows_of(folder: Path, **modes: dict[str, Any]) -> list[LeaderboardRow]:
    """Of model `m`, twenty questions in each of these modes, half of them right by default."""
    paths = {}
    for mode, given in modes.items():
        correct = given.pop("correct", [True, False] * 10)
        defaults = {"visual_tokens": 64.0, "text_tokens": 10.0, "visual_tokens_estimated": 0.0}
        table: pd.DataFrame = score_table(correct, **(defaults | given))
        paths["m", mode] = folder / f"{mode}.parquet"
        table.to_parquet(paths["m", mode], index=False)
    return leaderboard(paths, folder, "s", {}, prices={"m": PriceConfig(input=2, output=10)})


class TestTheLeaderboard:
    def test_means_have_intervals_and_prices_follow_from_what_was_billed(
        self, tmp_path: Path
    ) -> None:
        read = [1e6 * (i % 4) for i in range(20)]
        (row,) = rows_of(tmp_path, baseline={"prompt_tokens": read, "completion_tokens": 1e5})
        assert row.mean("price") == 2 * 1.5 + 1
        price, tokens = row.means["price"], row.means["prompt_tokens"]
        assert price.ci_low == pytest.approx(2 * tokens.ci_low / 1e6 + 1)
        assert price.ci_low < row.mean("price") < price.ci_high

    def test_tokens_of_a_gain_are_those_beyond_the_baselines(self, tmp_path: Path) -> None:
        active = {"correct": [True] * 15 + [False] * 5, "visual_tokens": 128.0}
        _, row = rows_of(tmp_path, baseline={}, active=active)
        assert row.gained - row.harmed == 5
        assert row.tokens_per_gain == 20 * 64 / 5

    @pytest.mark.parametrize(
        "active", [{}, {"correct": [False] * 20}, {"correct": [True] * 20, "text_tokens": None}]
    )
    def test_without_a_gain_or_a_count_there_is_none(
        self, tmp_path: Path, active: dict[str, Any]
    ) -> None:
        _, row = rows_of(tmp_path, baseline={}, active=active)
        assert row.tokens_per_gain is None

    def test_the_page_says_what_it_cost_but_no_seconds(self, tmp_path: Path) -> None:
        (row,) = rows_of(tmp_path, baseline={"seconds": 123.0})
        page = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
        assert "| m       | baseline | 64.0 [64.0, 64.0] | 10.0 [10.0, 10.0] |" in page
        assert "123" not in page
        assert row.mean("seconds") == 123.0

    def test_where_no_engine_could_tell_there_is_no_table(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, baseline={"visual_tokens": None})
        assert cost_table(rows) == []
        assert "What it cost" not in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
        assert as_text([replace(row, n_errors=0) for row in rows])
