"""Figures are drawn from files, are repeatable to the byte and fail with a message."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

from active_perception_r1.cli import main
from active_perception_r1.config import load_config, parse_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.errors import DataError
from active_perception_r1.modes import MODES
from active_perception_r1.report.figures import FIGURES, accuracy, cost, headroom, learning_curve
from active_perception_r1.report.figures._curves import read_curves
from active_perception_r1.report.figures._style import (
    MARKERS,
    WIDTH,
    figure_in_style,
    legend_above,
    look,
)
from active_perception_r1.scoring.leaderboard_row import (
    Estimate,
    LeaderboardRow,
    read_leaderboard,
)
from tests.drawn import texts
from tests.leaderboard_rows import a_row, write_rows
from tests.workflow import REPOSITORY


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
def rows() -> list[LeaderboardRow]:
    rows = [
        a_row(model, mode) for model in ("m", "m+grpo") for mode in ("baseline", "active", "oracle")
    ]
    return [*rows, a_row("m", "x", n=0, accuracy=None, ci_low=None, ci_high=None)]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_data_give_the_same_bytes(
    tmp_path: Path, metrics: Path, rows: list[LeaderboardRow], suffix: str
) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    for output in (first, second):
        learning_curve.draw(read_curves(metrics), output)
    assert first.read_bytes() == second.read_bytes()
    for output in (first, second):
        accuracy.draw(rows, output)
    assert first.read_bytes() == second.read_bytes()


def test_a_figure_fits_a_column_and_its_text_is_text_of_one_size(
    tmp_path: Path, rows: list[LeaderboardRow]
) -> None:
    accuracy.draw(rows, tmp_path / "accuracy.svg")
    root = ElementTree.parse(tmp_path / "accuracy.svg").getroot()
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(72 * WIDTH)
    assert {"m", "m+grpo", "baseline", "oracle"} <= texts(tmp_path / "accuracy.svg")
    sizes = re.findall(r"font-size: ([0-9.]+)px", (tmp_path / "accuracy.svg").read_text())
    assert set(sizes) == {"7"}
    paper = (tmp_path / "accuracy.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert b"/FontFile2" in paper  # letters of a font that it brings


def test_figures_are_valid_images(
    tmp_path: Path, metrics: Path, rows: list[LeaderboardRow]
) -> None:
    learning_curve.draw(read_curves(metrics), tmp_path / "curve.png")
    accuracy.draw(rows, tmp_path / "accuracy.svg")
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
    learning_curve.draw(read_curves(resumed), tmp_path / "resumed.svg")
    learning_curve.draw(read_curves(straight), tmp_path / "straight.svg")
    assert (tmp_path / "resumed.svg").read_bytes() == (tmp_path / "straight.svg").read_bytes()


def test_a_learning_curve_shows_validations_with_their_intervals(tmp_path: Path) -> None:
    def text(*, validated: bool) -> str:
        found = {"validation_correct": 0.4, "validation_documents": 10} if validated else {}
        steps = [{"step": i, "correct": 0.5, "documents": 20, **found} for i in (1, 2)]
        curves = read_curves(write_metrics(tmp_path / "metrics.jsonl", *steps))
        learning_curve.draw(curves, tmp_path / "curve.svg")
        return (tmp_path / "curve.svg").read_text(encoding="utf-8")

    assert "validation, greedy" in text(validated=True)
    assert "LineCollection" in text(validated=True)
    assert "validation, greedy" not in text(validated=False)
    assert "LineCollection" not in text(validated=False)
    assert "FillBetweenPolyCollection" in text(validated=False)


@pytest.mark.parametrize("content", ["", "{\n", '{"reward": 1}\n', "7\n", '{"step": 1}\n'])
def test_metrics_without_a_training_step_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        learning_curve.draw(read_curves(path), tmp_path / "curve.svg")


@pytest.mark.parametrize("models", [1, 6, 20])
def test_a_legend_stays_inside_its_figure(tmp_path: Path, models: int) -> None:
    with figure_in_style(tmp_path / "figure.svg", 6.0) as figure:
        axes = figure.subplots()
        for i in range(models):
            axes.plot([0, 1], label=f"a model with a long name, the {i}th")
        legend_above(figure, *axes.get_legend_handles_labels())
        (legend,) = figure.legends
        assert legend.get_window_extent().width < figure.bbox.width


def test_as_many_models_as_there_may_be_look_different() -> None:
    assert len({look(number) for number in range(32)}) == 32


def test_every_mode_has_a_marker_of_its_own() -> None:
    assert len(set(MARKERS)) == len(MARKERS) >= len(MODES)


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metrics\.jsonl: cannot be read"):
        read_curves(tmp_path / "metrics.jsonl")
    with pytest.raises(DataError, match=r"leaderboard\.json: cannot be read"):
        read_leaderboard(tmp_path / "leaderboard.json")


def test_other_formats_are_refused(tmp_path: Path, metrics: Path) -> None:
    with pytest.raises(DataError, match=r"curve\.gif: figures are written as \.svg, \.pdf, \.png"):
        learning_curve.draw(read_curves(metrics), tmp_path / "curve.gif")


class TestCost:
    @staticmethod
    def row(model: str, mode: str, tokens: float | None, **given: Any) -> LeaderboardRow:
        row = a_row(model, mode, **given)
        return replace(row, means={**row.means, "visual_tokens": Estimate(tokens, None, None)})

    def test_it_names_every_model_and_mode_once_and_joins_several_first_views(
        self, tmp_path: Path
    ) -> None:
        rows = [
            self.row(f"{model}@{pixels}", mode, pixels / 784, first_view_pixels=pixels)
            for model in ("m", "m+grpo")
            for mode in MODES
            for pixels in (50176, 100352)
        ]
        cost.draw(rows, tmp_path / "cost.svg")
        drawn = (tmp_path / "cost.svg").read_text()
        for name in ("m", "m+grpo", *MODES):
            assert drawn.count(f">{name}</text>") == 1
        assert "@" not in "".join(texts(tmp_path / "cost.svg"))

    def test_without_counts_it_says_so(self, tmp_path: Path) -> None:
        cost.draw([self.row("m", "active", None)], tmp_path / "cost.svg")
        assert "No engine has told" in (tmp_path / "cost.svg").read_text()


class TestHeadroom:
    @staticmethod
    def rows(budgets: tuple[int | None, ...]) -> list[LeaderboardRow]:
        return [
            a_row(f"{model}@{pixels}" if pixels else model, mode, first_view_pixels=pixels)
            for model in ("m", "m+grpo")
            for pixels in budgets
            for mode in ("baseline", "active", "oracle", "strict_zoom", "blank_crop")
        ]

    def test_it_has_a_panel_for_each_model_and_a_line_for_each_mode(self, tmp_path: Path) -> None:
        rows = self.rows((50176, 100352, 401408))
        for name in ("first.svg", "second.svg"):
            headroom.draw(rows, tmp_path / name)
        first, second = tmp_path / "first.svg", tmp_path / "second.svg"
        assert first.read_bytes() == second.read_bytes()
        assert {"m+grpo", "baseline", "active", "oracle", "401,408"} <= texts(first)
        assert texts(first).isdisjoint({"strict_zoom", "blank_crop"})

    def test_a_study_without_budgets_has_none(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="give first_views"):
            headroom.draw(self.rows((None,)), tmp_path / "a.svg")


TRAINING = {"learning_curve", "reward"}


class TestRegistry:
    def test_a_figure_is_a_module_and_a_caption(self) -> None:
        captions = {path.stem for path in (REPOSITORY / "report").glob("*.rst")}
        assert captions - {"page", "workflow"} == set(FIGURES)

    def test_files_keep_their_names(self) -> None:
        assert {figure.file_name(name) for name, figure in FIGURES.items()} == {
            "accuracy.svg",
            "cost.svg",
            "endings.svg",
            "headroom.svg",
            "learning_curve.{run}.svg",
            "reward.{run}.svg",
            "zoom_map.svg",
        }

    @pytest.mark.parametrize(
        ("study", "without"),
        [
            ({"modes": ["baseline"]}, {"headroom", "zoom_map", *TRAINING}),
            (
                {"modes": ["baseline", "strict_zoom", "blank_crop"]},
                {"headroom", "zoom_map", *TRAINING},
            ),
            ({"modes": ["baseline", "active"], "first_views": [6272, 12544]}, TRAINING),
        ],
    )
    def test_a_study_has_the_figures_that_show_something(
        self, study: dict[str, Any], without: set[str]
    ) -> None:
        entry = {"dataset": {"source": "synthetic"}, "models": ["tiny-zoom-vlm"], **study}
        shipped = yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text())
        plan = StudyPlan(
            parse_config({**shipped, "studies": {"s": entry}, "study": "s", "training": {}}), "s"
        )
        assert {name for name in FIGURES if not FIGURES[name].files(name, plan)} == without

    def test_a_study_has_those_of_training_for_each_of_its_runs(self) -> None:
        plan = StudyPlan(load_config(REPOSITORY / "workflow_config.yaml"), "demo")
        assert [str(path) for path in FIGURES["reward"].files("reward", plan)] == [
            "results/demo/report/reward.tiny-zoom-vlm+grpo.svg"
        ]

    def test_one_command_draws_them_all(
        self, tmp_path: Path, metrics: Path, rows: list[LeaderboardRow]
    ) -> None:
        board = write_rows(tmp_path / "leaderboard.json", rows)
        for name, source in (("accuracy", board), ("learning_curve", metrics)):
            option, output = f"--{source.stem}", tmp_path / f"{name}.svg"
            assert main(["figure", name, option, str(source), "--output", str(output)]) == 0
            assert output.exists()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("acuracy", "'acuracy' is no figure; known: accuracy, cost, headroom, "),
            ("reward", "figure reward is drawn from --metrics: say where it is"),
        ],
    )
    def test_what_is_missing_is_named(
        self, name: str, message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["figure", name, "--leaderboard", "a.json", "--output", "a.svg"]) == 1
        assert f"error: {message}" in capsys.readouterr().err

    def test_declarations_load_no_plotting_library(self) -> None:
        """The pipeline reads all of them whenever it starts."""
        program = (
            "import sys; from active_perception_r1.report.figures import FIGURES;"
            "list(FIGURES.values()); print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert {"matplotlib", "pandas", "scipy", "torch"}.isdisjoint(done.stdout.split())
