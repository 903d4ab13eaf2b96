"""Figures are drawn from files, are repeatable to the byte and fail with a message."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from active_perception_r1.errors import DataError
from active_perception_r1.report.accuracy import accuracy_by_mode
from active_perception_r1.report.figures import figure_in_style, legend_above, look
from active_perception_r1.report.headroom import headroom
from active_perception_r1.report.learning_curve import learning_curve
from tests.leaderboard_rows import a_row, write_rows


def write_metrics(path: Path, *steps: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(step) + "\n" for step in steps), encoding="utf-8")
    return path


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    steps = [
        {"step": i, "reward": i / 20, "correct": i / 20, "entropy": 2 - i / 20, "loss": 0.1}
        for i in range(1, 21)
    ]
    return write_metrics(tmp_path / "metrics.jsonl", *steps)


@pytest.fixture
def leaderboard(tmp_path: Path) -> Path:
    rows = [
        a_row(model, mode) for model in ("m", "m+grpo") for mode in ("baseline", "active", "oracle")
    ]
    nothing = a_row("m", "x", n=0, accuracy=None, ci_low=None, ci_high=None)
    return write_rows(tmp_path / "leaderboard.json", [*rows, nothing])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_data_give_the_same_bytes(
    tmp_path: Path, metrics: Path, leaderboard: Path, suffix: str
) -> None:
    for draw, source in ((learning_curve, metrics), (accuracy_by_mode, leaderboard)):
        first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
        draw(source, first)
        draw(source, second)
        assert first.read_bytes() == second.read_bytes()


def test_figures_are_valid_images(tmp_path: Path, metrics: Path, leaderboard: Path) -> None:
    learning_curve(metrics, tmp_path / "curve.png")
    accuracy_by_mode(leaderboard, tmp_path / "accuracy.svg")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.width > 800
    assert ElementTree.parse(tmp_path / "accuracy.svg").getroot().tag.endswith("svg")


def test_a_resumed_run_counts_as_written_last(tmp_path: Path) -> None:
    resumed = write_metrics(
        tmp_path / "resumed.jsonl",
        {"step": 1, "reward": 0.1},
        {"step": 2, "reward": 0.9},
        {"step": 2, "reward": 0.2},
    )
    straight = write_metrics(
        tmp_path / "straight.jsonl", {"step": 1, "reward": 0.1}, {"step": 2, "reward": 0.2}
    )
    learning_curve(resumed, tmp_path / "resumed.svg")
    learning_curve(straight, tmp_path / "straight.svg")
    assert (tmp_path / "resumed.svg").read_bytes() == (tmp_path / "straight.svg").read_bytes()


@pytest.mark.parametrize("content", ["", "{\n", '{"reward": 1}\n', "7\n", '{"step": 1}\n'])
def test_metrics_without_a_training_step_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        learning_curve(path, tmp_path / "curve.svg")


@pytest.mark.parametrize("models", [1, 6, 20])
def test_a_legend_stays_inside_its_figure(tmp_path: Path, models: int) -> None:
    with figure_in_style(tmp_path / "figure.svg", (6.0, 6.0)) as figure:
        axes = figure.subplots()
        for i in range(models):
            axes.plot([0, 1], label=f"a model with a long name, the {i}th")
        legend_above(figure, *axes.get_legend_handles_labels())
        (legend,) = figure.legends
        assert legend.get_window_extent().width < figure.bbox.width


def test_as_many_models_as_there_may_be_look_different() -> None:
    assert len({look(number) for number in range(32)}) == 32


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metrics\.jsonl: cannot be read"):
        learning_curve(tmp_path / "metrics.jsonl", tmp_path / "curve.svg")
    with pytest.raises(DataError, match=r"leaderboard\.json: cannot be read"):
        accuracy_by_mode(tmp_path / "leaderboard.json", tmp_path / "accuracy.svg")


def test_other_formats_are_refused(tmp_path: Path, metrics: Path) -> None:
    with pytest.raises(DataError, match=r"curve\.gif: figures are written as \.svg or \.png"):
        learning_curve(metrics, tmp_path / "curve.gif")


class TestHeadroom:
    @staticmethod
    def board(path: Path, budgets: tuple[int | None, ...]) -> Path:
        rows = [
            a_row(f"{model}@{pixels}" if pixels else model, mode, first_view_pixels=pixels)
            for model in ("m", "m+grpo")
            for pixels in budgets
            for mode in ("baseline", "active", "oracle", "strict_zoom")
        ]
        return write_rows(path, rows)

    def test_it_has_a_panel_for_each_model_and_a_line_for_each_mode(self, tmp_path: Path) -> None:
        board = self.board(tmp_path / "leaderboard.json", (50176, 100352, 401408))
        for name in ("first.svg", "second.svg"):
            headroom(board, tmp_path / name)
        drawn = (tmp_path / "first.svg").read_bytes()
        assert drawn == (tmp_path / "second.svg").read_bytes()
        for comment in ("m+grpo", "baseline", "active", "oracle", "401,408"):
            assert f"<!-- {comment} -->".encode() in drawn
        assert b"<!-- strict_zoom -->" not in drawn

    def test_a_study_without_budgets_has_none(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="give first_views"):
            headroom(self.board(tmp_path / "leaderboard.json", (None,)), tmp_path / "a.svg")
