"""The diagnosis and the explanation: where zooming helps, where each number comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from active_perception_r1.cli import main
from active_perception_r1.envs.zoom_simulator import ViewRules
from active_perception_r1.scoring.diagnosis import Diagnosis, diagnose
from active_perception_r1.scoring.explain import explain
from active_perception_r1.scoring.intervals import share_interval
from tests.configured import configure
from tests.score_tables import score_table

VIEW = ViewRules(max_pixels=10_000)  # a page of 1000 x 1000 is shown at a tenth of its size


def a_table(correct: str, zooms: str = "", **columns: Any) -> pd.DataFrame:
    """One sample a letter: `+` right, `-` wrong; zooms `h` that hit, `m` that missed, `.` none."""
    zooms = zooms or "." * len(correct)
    values = {
        "calls": [int(zoom != ".") for zoom in zooms],
        "shown": [int(zoom != ".") for zoom in zooms],
        "redundant": 0,
        "coverage": [{"h": 0.9, "m": 0.2, ".": 0.0}[zoom] for zoom in zooms],
        "smallest_area": [None if zoom == "." else 0.04 for zoom in zooms],
        "page_width": 1000,
        "page_height": 1000,
        "evidence_height": 0.05,
    }
    return score_table([letter == "+" for letter in correct], **(values | columns))


def write(folder: Path, tables: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str], Path]:
    folder.mkdir(exist_ok=True)
    paths = {}
    for mode, table in tables.items():
        paths["m", mode] = folder / f"{mode}.parquet"
        table.to_parquet(paths["m", mode], index=False)
    return paths


def diagnosed(folder: Path, **tables: pd.DataFrame) -> Sequence[Diagnosis]:
    return diagnose(write(folder, tables), {"m": VIEW}, folder, "demo")


def counts(shares: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    return {name: (share.count, share.of) for name, share in shares.items()}


class TestDiagnosis:
    def test_changes_are_split_into_gain_and_harm_with_and_without_a_zoom(
        self, tmp_path: Path
    ) -> None:
        baseline, active = a_table("---+++-+"), a_table("++--+--+", "hm.hm...")
        (found,) = diagnosed(tmp_path, baseline=baseline, active=active)
        assert counts(found.effects) == {
            "call_gain": (2, 8),
            "schema_gain": (0, 8),
            "call_harm": (1, 8),
            "schema_harm": (1, 8),
        }

    def test_gains_minus_harms_are_the_difference_to_the_baseline(self, tmp_path: Path) -> None:
        baseline, active = a_table("-+-+-++-"), a_table("+-+--+++", "hmh..m..")
        (found,) = diagnosed(tmp_path, baseline=baseline, active=active)
        effect = {name: share.count for name, share in found.effects.items()}
        gains = effect["call_gain"] + effect["schema_gain"]
        harms = effect["call_harm"] + effect["schema_harm"]
        assert gains - harms == active["correct"].sum() - baseline["correct"].sum()

    def test_accuracy_is_told_by_hit_and_miss(self, tmp_path: Path) -> None:
        (found,) = diagnosed(tmp_path, baseline=a_table("-----"), active=a_table("++-+-", "hhmm."))
        assert counts(found.accuracy) == {"no_zoom": (0, 1), "miss": (1, 2), "hit": (2, 2)}
        assert found.coverage[2] == pytest.approx(0.55)

    def test_headroom_is_lost_by_not_looking_looking_elsewhere_or_misreading(
        self, tmp_path: Path
    ) -> None:
        (found,) = diagnosed(
            tmp_path,
            baseline=a_table("------+"),
            oracle=a_table("+++++-+"),
            active=a_table("+----+-", "hhm.hh."),
        )
        assert found.headroom_by == "oracle"
        assert counts(found.headroom) == {
            "gained": (1, 5),
            "no_zoom": (1, 5),
            "missed": (1, 5),
            "misread": (2, 5),
        }

    @pytest.mark.parametrize("side", ["baseline", "active"])
    def test_what_ended_in_an_error_is_no_effect(self, tmp_path: Path, side: str) -> None:
        failed = {"error": [""] * 4 + ["gone"], "tool_status": ["answered"] * 4 + ["backend_error"]}
        found = diagnosed(
            tmp_path,
            baseline=a_table("--+++", **(failed if side == "baseline" else {})),
            active=a_table("+-++-", "hm...", **(failed if side == "active" else {})),
            oracle=a_table("+++++"),
        )[0]
        assert (found.n, found.n_errors) == (4, 1)
        assert counts(found.effects) == {
            "call_gain": (1, 4),
            "schema_gain": (0, 4),
            "call_harm": (0, 4),
            "schema_harm": (0, 4),
        }
        assert counts(found.accuracy)["no_zoom"] == (2, 2)
        assert counts(found.headroom)["gained"] == (1, 2)
        assert "1 questions are left out" in (tmp_path / "diagnosis.md").read_text()

    def test_intervals_are_those_of_the_leaderboard(self, tmp_path: Path) -> None:
        pages = {"doc_id": [f"page{i // 4}" for i in range(40)]}
        (found,) = diagnosed(
            tmp_path,
            baseline=a_table("-" * 40, **pages),
            active=a_table("++++----" * 5, "h" * 40, **pages),
        )
        gain = found.effects["call_gain"]
        assert (gain.count, gain.of) == (20, 40)
        right, documents = [i % 8 < 4 for i in range(40)], [i // 4 for i in range(40)]
        assert (gain.ci_low, gain.ci_high) == share_interval(right, documents)
        assert gain.ci_high - gain.ci_low > 0.4  # of 40 independent questions: 0.3

    def test_whether_the_looking_was_needed(self, tmp_path: Path) -> None:
        found = diagnosed(
            tmp_path,
            baseline=a_table("----++++"),
            oracle=a_table("+++-++++"),
            active=a_table("++--+-++", "hm.mh..h"),
            blank_crop=a_table("+-------", "hhhhhhhh"),
            strict_zoom=a_table("++++++++", "hhhhhhhh"),
        )[0]
        assert counts(found.necessity) == {
            "recall": (2, 3),
            "waste": (2, 4),
            "faithful": (3, 8),
            "gain": (2, 8),
            "harm": (1, 8),
            "tool_only": (1, 5),
        }
        assert found.tool_only_beside == ["baseline", "blank_crop"]
        page = (tmp_path / "diagnosis.md").read_text(encoding="utf-8")
        assert "## Was the looking needed?" in page
        assert "0.667 (2 / 3, " in page

    @pytest.mark.parametrize("mode", ["baseline", "oracle", "active", "blank_crop"])
    def test_a_question_that_ended_in_an_error_says_nothing_of_the_need(
        self, tmp_path: Path, mode: str
    ) -> None:
        failed = {"error": ["gone"] + [""] * 4, "tool_status": ["backend_error"] + ["answered"] * 4}

        def table(name: str, correct: str, zooms: str = "") -> pd.DataFrame:
            return a_table(correct, zooms, **(failed if mode == name else {}))

        found = diagnosed(
            tmp_path,
            baseline=table("baseline", "----+"),
            oracle=table("oracle", "+++++"),
            active=table("active", "++++-", "hhhh."),
            blank_crop=table("blank_crop", "-----"),
        )[0]
        seen = {name: share.of for name, share in found.necessity.items()}
        without = {"recall": 4, "waste": 1, "faithful": 5, "gain": 5, "harm": 5, "tool_only": 4}
        concerned = {
            "baseline": ("recall", "gain", "harm", "tool_only"),
            "oracle": ("recall",),
            "active": ("recall", "faithful", "gain", "harm", "tool_only"),
            "blank_crop": ("tool_only",),
        }
        assert seen == {name: of - (name in concerned[mode]) for name, of in without.items()}

    def test_repeats_are_counted_among_all_calls(self, tmp_path: Path) -> None:
        (found,) = diagnosed(
            tmp_path,
            baseline=a_table("---"),
            active=a_table("---", "hhh", calls=[3, 1, 2], redundant=[2, 0, 1]),
        )
        assert (found.redundant.count, found.redundant.of) == (3, 6)

    def test_text_size_is_measured_in_the_first_view(self, tmp_path: Path) -> None:
        heights = [0.05, 0.05, 0.30, 0.30]  # 5 and 30 pixels after shrinking
        (found,) = diagnosed(
            tmp_path,
            baseline=a_table("--++", evidence_height=heights),
            active=a_table("+-++", "hm..", evidence_height=heights),
        )
        small, large = found.text_size
        assert (small.low, small.high, small.baseline.count, small.mode.count) == (4, 6, 0, 1)
        assert (large.low, large.high, large.zoomed.share) == (24, None, 0.0)

    def test_controls_and_models_without_a_baseline_are_not_diagnosed(self, tmp_path: Path) -> None:
        assert not diagnosed(tmp_path, active=a_table("+-"), blank_crop=a_table("+-"))
        assert "No mode with a zoom" in (tmp_path / "diagnosis.md").read_text(encoding="utf-8")

    def test_the_page_gives_every_share_with_its_counts(self, tmp_path: Path) -> None:
        diagnosed(tmp_path, baseline=a_table("----"), active=a_table("+---", "hhm."))
        page = (tmp_path / "diagnosis.md").read_text(encoding="utf-8")
        assert "0.250 (1 / 4, 0.046 to 0.699)" in page
        assert "whose evidence is known" in page
        rows = json.loads((tmp_path / "diagnosis.json").read_text(encoding="utf-8"))["rows"]
        assert rows[0]["effects"]["call_gain"]["share"] == 0.25


class TestExplanation:
    def test_counts_and_formulas_of_each_number_are_told(self, tmp_path: Path) -> None:
        tables = {"baseline": a_table("-" * 9 + "+"), "active": a_table("+" * 8 + "--")}
        text = explain(write(tmp_path, tables), {})
        assert "accuracy 0.8000 = 8 / 10, Wilson [0.4902, 0.9433]" in text
        assert "+0.7000 on 10 questions without errors: 8 gained, 1 harmed;" in text
        assert "exact McNemar p = 0.0391" in text

    def test_it_is_one_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        paths = write(tmp_path / "m", {"active": a_table("+-")})
        arguments = ["stats", f"--config={configure(tmp_path)}", "--study=s", "--scores"]
        assert main([*arguments, str(paths["m", "active"])]) == 0
        assert "accuracy 0.5000 = 1 / 2" in capsys.readouterr().out
