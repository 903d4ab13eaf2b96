"""The leaderboard: what each number means."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from active_perception_r1.errors import DataError
from active_perception_r1.scoring.intervals import wilson_interval
from active_perception_r1.scoring.leaderboard import leaderboard
from active_perception_r1.scoring.leaderboard_row import Estimate, Layout, LeaderboardRow, Need
from active_perception_r1.scoring.measures import measures
from active_perception_r1.scoring.paired_tests import detectable_difference
from tests.score_tables import score_table

Rows = dict[tuple[str, str], LeaderboardRow]


def a_table(correct: Sequence[bool], **columns: Any) -> pd.DataFrame:
    """A table of scores with one sample for each value of `correct`, two to a page."""
    n = len(correct)
    values = {
        "doc_id": [f"page{i // 2}" for i in range(n)],
        "layout": ["form" if i % 2 else "table" for i in range(n)],
        "shown": [1] * n,
        "coverage": [0.5] * n,
    }
    return score_table(correct, **(values | columns))


def alone(correct: Sequence[bool], **columns: Any) -> pd.DataFrame:
    """The same with every sample about a page of its own."""
    return a_table(correct, doc_id=[f"page{i}" for i in range(len(correct))], **columns)


def write(folder: Path, tables: Mapping[tuple[str, str], pd.DataFrame]) -> dict[Any, Path]:
    paths = {}
    for (model, mode), table in tables.items():
        paths[model, mode] = folder / f"{model}-{mode}.parquet"
        table.to_parquet(paths[model, mode], index=False)
    return paths


def rows_of(
    folder: Path,
    tables: Mapping[tuple[str, str], pd.DataFrame],
    started_from: Mapping[str, str] | None = None,
) -> Rows:
    rows = leaderboard(write(folder, tables), folder, "demo", started_from or {})
    return {(row.model, row.mode): row for row in rows}


class TestNumbers:
    def test_accuracy_comes_with_wilsons_interval(self, tmp_path: Path) -> None:
        correct, pages = [True] * 3 + [False] * 7, [f"page{i}" for i in range(10)]
        rows = rows_of(tmp_path, {("m", "baseline"): a_table(correct, doc_id=pages)})
        row = rows["m", "baseline"]
        assert (row.n, row.documents, row.accuracy) == (10, 10, 0.3)
        assert (row.ci_low, row.ci_high) == pytest.approx(wilson_interval(3, 10), rel=1e-5)

    def test_it_is_wider_where_questions_share_documents(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, {("m", "baseline"): a_table([True] * 20 + [False] * 20)})
        row = rows["m", "baseline"]
        assert (row.n, row.documents) == (40, 20)
        plain = wilson_interval(20, 40)
        assert row.ci_high - row.ci_low > 1.3 * (plain.high - plain.low)

    def test_modes_are_compared_with_the_baseline_of_the_same_model(self, tmp_path: Path) -> None:
        tables = {
            ("m", "baseline"): alone([True] + [False] * 9),
            ("m", "active"): alone([False] + [True] * 8 + [False]),
            ("other", "baseline"): alone([True] * 10),
        }
        rows = rows_of(tmp_path, tables)
        active = rows["m", "active"]
        assert active.delta_baseline == pytest.approx(0.7)
        assert (active.gained, active.harmed) == (8, 1)
        assert active.p_value == pytest.approx(20 / 512, rel=1e-5)
        for model in ("m", "other"):
            baseline = rows[model, "baseline"]
            assert baseline.delta_baseline is baseline.p_value is baseline.gained is None

    def test_questions_about_one_document_are_no_independent_witnesses(
        self, tmp_path: Path
    ) -> None:
        tables = {
            ("m", "baseline"): a_table([False] * 10),
            ("m", "active"): a_table([True] * 10),
        }
        row = rows_of(tmp_path, tables)["m", "active"]
        assert (row.gained, row.documents) == (10, 5)
        assert row.p_value == 2 / 2**5  # not 2 / 2**10

    def test_samples_are_paired_by_id_and_not_by_place(self, tmp_path: Path) -> None:
        table = a_table([True, False, False, False])
        rows = rows_of(tmp_path, {("m", "baseline"): table, ("m", "active"): table.iloc[::-1]})
        assert (rows["m", "active"].gained, rows["m", "active"].harmed) == (0, 0)

    def test_headroom_is_oracle_minus_baseline(self, tmp_path: Path) -> None:
        tables = {
            ("m", "baseline"): a_table([True] + [False] * 3),
            ("m", "oracle"): a_table([True] * 4),
            ("other", "baseline"): a_table([True] * 4),
        }
        rows = rows_of(tmp_path, tables)
        assert rows["m", "baseline"].headroom == rows["m", "oracle"].headroom == 0.75
        assert rows["other", "baseline"].headroom is None

    def test_a_trained_model_is_compared_with_its_base_in_the_same_mode(
        self, tmp_path: Path
    ) -> None:
        tables = {
            ("m", "active"): alone([False] * 12),
            ("m+grpo", "active"): alone([True] * 12),
            ("m+grpo", "baseline"): alone([False] * 12),
        }
        rows = rows_of(tmp_path, tables, {"m+grpo": "m"})
        assert rows["m+grpo", "active"].delta_vs_start == 1.0
        assert rows["m+grpo", "active"].p_vs_start == pytest.approx(2 / 2**12, rel=1e-5)
        assert rows["m+grpo", "baseline"].delta_vs_start is None  # the base has no such row
        assert rows["m", "active"].delta_vs_start is None

    def test_p_values_are_adjusted_for_all_tests_of_the_leaderboard(self, tmp_path: Path) -> None:
        tables = {
            ("m", "baseline"): a_table([False] * 12),
            ("m", "active"): a_table([True] * 12),
            ("m", "oracle"): a_table([True] * 6 + [False] * 6),
        }
        rows = rows_of(tmp_path, tables)
        assert rows["m", "active"].p_holm == pytest.approx(2 * rows["m", "active"].p_value)
        assert rows["m", "oracle"].p_holm == pytest.approx(rows["m", "oracle"].p_value)
        assert rows["m", "baseline"].p_holm is None

    def test_the_difference_in_anls_has_a_paired_interval(self, tmp_path: Path) -> None:
        anls = [0.1 * (i % 7) for i in range(40)]
        better = [value + 0.25 for value in anls]
        tables = {
            ("m", "baseline"): a_table([False] * 40, anls=anls),
            ("m", "active"): a_table([True] * 40, anls=better),
        }
        row = rows_of(tmp_path, tables)["m", "active"]
        anls, gain = row.means["anls"], row.means["delta_anls"]
        assert anls.ci_high - anls.ci_low > 0.05
        assert (gain.ci_low, gain.mean, gain.ci_high) == pytest.approx((0.25, 0.25, 0.25))

    def test_every_measure_has_its_mean_and_interval(self, tmp_path: Path) -> None:
        values = [0.0, 0.0, 1.0, 1.0] * 10
        measured = dict.fromkeys(measures(), values)
        rows = rows_of(tmp_path, {("m", "active"): a_table([True] * 40, **measured)})
        means = rows["m", "active"].means
        assert means.keys() >= measures().keys()
        assert {means[name].mean for name in measures()} == {0.5}
        assert all(means[name].ci_low < 0.5 < means[name].ci_high for name in measures())

    def test_what_is_compared_has_its_difference_to_baseline_and_start(
        self, tmp_path: Path
    ) -> None:
        tables = {
            ("m", "baseline"): a_table([False] * 40, score=0.25),
            ("m+grpo", "baseline"): a_table([False] * 40, score=0.5),
            ("m+grpo", "active"): a_table([False] * 40, score=0.75),
            ("m", "active"): a_table([False] * 40, score=0.625),
        }
        rows = rows_of(tmp_path, tables, {"m+grpo": "m"})
        trained, nothing = rows["m+grpo", "active"], Estimate(None, None, None)
        assert trained.means["delta_score"] == Estimate(0.25, 0.25, 0.25)
        assert trained.means["delta_score_vs_start"] == Estimate(0.125, 0.125, 0.125)
        assert rows["m", "baseline"].means["delta_score"] == nothing
        assert rows["m", "active"].means["delta_score_vs_start"] == nothing
        assert "delta_coverage" not in trained.means

    def test_seeds_are_averaged_and_their_spread_is_given(self, tmp_path: Path) -> None:
        tables = {
            ("m-0", "active"): a_table([True, True, False, False]),
            ("m-1", "active"): a_table([True, True, True, False]),
            ("other", "active"): a_table([True] * 4),
        }
        rows = leaderboard(write(tmp_path, tables), tmp_path, "demo", {}, {"m": ["m-0", "m-1"]})
        assert [row.seeds for row in rows] == [2, 2, None]
        assert rows[0].seeds_mean == 0.625
        assert rows[0].seeds_sd == pytest.approx(0.25 / 2**0.5, rel=1e-5)
        assert "## Accuracy over seeds" in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")

    def test_very_small_p_values_are_not_rounded_to_0(self, tmp_path: Path) -> None:
        tables = {
            ("m", "baseline"): alone([False] * 200),
            ("m", "active"): alone([True] * 200),
        }
        assert 0 < rows_of(tmp_path, tables)["m", "active"].p_value < 1e-50

    def test_coverage_skips_samples_without_evidence_and_modes_without_zoom(
        self, tmp_path: Path
    ) -> None:
        coverage = [1.0, 0.5, 0.0, None]
        tables = {
            (("m", mode)): a_table([True] * 4, coverage=coverage)
            for mode in ("baseline", "oracle", "active")
        }
        rows = rows_of(tmp_path, tables)
        assert rows["m", "active"].mean("coverage") == 0.5
        assert rows["m", "baseline"].mean("coverage") is None
        assert rows["m", "oracle"].mean("coverage") is None

    def test_strict_is_satisfied_by_a_crop_and_then_an_answer(self, tmp_path: Path) -> None:
        table = a_table([False] * 4, shown=[1, 1, 0, 0], answer=["x", None, "x", None])
        rows = rows_of(tmp_path, {("m", "strict_zoom"): table, ("m", "active"): table})
        assert rows["m", "strict_zoom"].strict_satisfied == 0.25
        assert rows["m", "active"].strict_satisfied is None
        assert rows["m", "active"].zoom_rate == 0.5

    def test_accuracy_is_given_by_layout(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, {("m", "active"): a_table([True, True, True, False])})
        assert rows["m", "active"].by_layout == {
            "form": Layout(n=2, accuracy=0.5),
            "table": Layout(n=2, accuracy=1.0),
        }

    def test_the_mean_over_orders_of_the_options_weighs_each_order_alike(
        self, tmp_path: Path
    ) -> None:
        orders = ["cycle_1", "cycle_1", "cycle_1", "cycle_2"]
        table = a_table([True, True, False, False], cycle=orders, circular=[1.0, None, 0.0, None])
        row = rows_of(tmp_path, {("m", "active"): table})["m", "active"]
        assert row.accuracy == 0.5
        assert row.cycle_accuracy == pytest.approx((2 / 3 + 0) / 2, abs=1e-6)
        page = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
        head, line = re.findall(r"^\| (?:Model|m) .*", page, re.M)[:2]
        cells = dict(zip(*([c.strip() for c in x.split("|")] for x in (head, line)), strict=True))
        assert (cells["Over orders"], cells["Circular"]) == ("0.333", "0.500")

    def test_questions_that_are_asked_once_have_no_orders(self, tmp_path: Path) -> None:
        row = rows_of(tmp_path, {("m", "active"): a_table([True, False])})["m", "active"]
        assert row.cycle_accuracy is None
        assert "Circular" not in (tmp_path / "leaderboard.md").read_text().split("## Notes")[0]

    def test_a_dataset_without_layouts_has_none(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, {("m", "active"): a_table([True, True], layout="")})
        assert rows["m", "active"].by_layout == {}


class TestNecessity:
    def tables(self) -> dict[tuple[str, str], pd.DataFrame]:
        needs = {"requires_zoom": [True, True, True, False]}
        return {
            ("m", "baseline"): alone([False, False, False, True], shown=0, **needs),
            ("m", "oracle"): alone([True, True, True, True], shown=0, **needs),
            ("m", "active"): alone(
                [True, True, False, True], shown=[1, 1, 0, 1], coverage=[0.9, 0.1, 0, 0.5], **needs
            ),
            ("m", "call_only"): alone([True, False, False, False], shown=0, **needs),
            ("other", "active"): alone([True] * 4, coverage=None, **needs),
        }

    def test_a_row_says_whether_the_looking_was_needed(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, self.tables())
        row = rows["m", "active"]
        assert row.zoom_recall == pytest.approx(2 / 3, rel=1e-5)
        assert (row.zoom_waste, row.faithful_accuracy) == (1.0, 0.5)
        assert row.tool_only == pytest.approx(1 / 3, rel=1e-5)
        assert row.tool_only_beside == "baseline, call_only"

    def test_what_the_study_cannot_tell_is_null(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, self.tables())
        for row in (rows["m", "call_only"], rows["m", "baseline"], rows["other", "active"]):
            assert row.zoom_recall is row.zoom_waste is row.tool_only is None
            assert row.faithful_accuracy is None

    def test_a_row_is_told_by_whether_a_zoom_is_needed(self, tmp_path: Path) -> None:
        row = rows_of(tmp_path, self.tables())["m", "active"]
        assert row.by_requires_zoom == {
            "true": Need(3, pytest.approx(2 / 3, rel=1e-5), pytest.approx(2 / 3, rel=1e-5)),
            "false": Need(1, 1.0, 1.0),
        }

    def test_the_pages_have_a_table_of_it(self, tmp_path: Path) -> None:
        rows_of(tmp_path, self.tables())
        page = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
        cells = [
            "m",
            "active",
            "0.667",
            "1.000",
            "0.500",
            "0.333",
            "baseline, call_only",
            "+2",
            "-0",
        ]
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
        assert cells in lines


class TestHonesty:
    def test_an_infrastructure_error_stays_in_the_denominator_in_sight(
        self, tmp_path: Path
    ) -> None:
        table = a_table(
            [True, True, True, False],
            error=["", "", "", "server gone " * 20],
            tool_status=["answered"] * 3 + ["backend_error"],
            reward=[1.0, 1.0, 1.0, None],
        )
        row = rows_of(tmp_path, {("m", "active"): table})["m", "active"]
        assert (row.n, row.accuracy, row.n_errors) == (4, 0.75, 1)
        assert row.mean("reward") == 1.0
        assert row.tool_status == {"answered": 3, "backend_error": 1}
        (footnote,) = [
            line
            for line in (tmp_path / "leaderboard.md").read_text(encoding="utf-8").splitlines()
            if line.startswith("- **m, active**: 1 of 4 episodes ended in an error")
        ]
        assert footnote.endswith(". s3: " + "server gone " * 13 + "…")

    @pytest.mark.parametrize(
        ("n", "words"),
        [
            (16, "Too few questions for a claim: n = 16 shows no difference at all"),
            (100, "Too few questions for a claim about less than this"),
            (300, "shows with 80 % power, if 25% of the answers change: 0.083."),
        ],
    )
    def test_what_a_slice_cannot_show_is_said(self, tmp_path: Path, n: int, words: str) -> None:
        rows_of(tmp_path, {("m", "active"): alone([True] * n, layout="")})
        assert words in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")

    def test_it_is_said_for_the_test_that_is_printed(self, tmp_path: Path) -> None:
        modes = ("baseline", "active", "strict_zoom", "oracle")
        tables = {("m", mode): alone([True, False] * 150, layout="") for mode in modes}
        row = rows_of(tmp_path, tables)["m", "active"]
        assert row.min_detectable == pytest.approx(detectable_difference(300, tests=3), rel=1e-5)
        assert "corrected for 3 tests: 0.095." in (tmp_path / "leaderboard.md").read_text()

    def test_questions_that_share_documents_show_less(self, tmp_path: Path) -> None:
        correct = [i % 8 < 4 for i in range(400)]
        tables = {("m", "active"): a_table(correct, layout="")}
        row = rows_of(tmp_path, tables)["m", "active"]
        assert 150 < row.n_effective < 220
        assert row.min_detectable > detectable_difference(400)
        assert f"n = 400 (worth {int(row.n_effective)}, as documents are shared)" in (
            tmp_path / "leaderboard.md"
        ).read_text(encoding="utf-8")

    def test_an_error_is_neither_a_gain_nor_a_harm(self, tmp_path: Path) -> None:
        failed = {
            "tool_status": ["backend_error"] * 10 + ["answered"] * 190,
            "error": ["server gone"] * 10 + [""] * 190,
        }
        good, bad = [True] * 200, [False] * 10 + [True] * 190
        for before, after in ((good, bad), (bad, good)):
            tables = {
                ("m", mode): alone(correct, **(failed if correct is bad else {}))
                for mode, correct in (("baseline", before), ("active", after))
            }
            row = rows_of(tmp_path, tables)["m", "active"]
            assert (row.n, row.n_compared) == (200, 190)
            assert (row.delta_baseline, row.gained, row.harmed, row.p_value) == (0, 0, 0, 1)
            assert row.means["delta_anls"] == Estimate(0, 0, 0)

    def test_modes_that_cannot_be_told_from_the_baseline_are_named(self, tmp_path: Path) -> None:
        table = a_table([True, False])
        rows_of(tmp_path, {("m", "baseline"): table, ("m", "active"): table})
        text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
        assert (
            "**No difference shown** to their baseline (adjusted p not below .05): m, active"
            in text
        )

    def test_an_oracle_is_compared_on_the_samples_that_have_evidence(self, tmp_path: Path) -> None:
        tables = {
            ("m", "baseline"): a_table([False, False, True, True]),
            ("m", "oracle"): a_table(
                [True, True, True, False], tool_status=["answered"] * 3 + ["no_evidence"]
            ),
        }
        row = rows_of(tmp_path, tables)["m", "oracle"]
        assert (row.n, row.n_no_evidence, row.accuracy) == (3, 1, 1.0)
        assert row.delta_baseline == row.headroom == pytest.approx(2 / 3, rel=1e-5)
        assert "no evidence is known for 1 of 4 samples" in (tmp_path / "leaderboard.md").read_text(
            encoding="utf-8"
        )

    def test_an_oracle_without_any_evidence_has_no_accuracy(self, tmp_path: Path) -> None:
        tables = {
            ("m", "baseline"): a_table([True, False]),
            ("m", "oracle"): a_table([False, False], tool_status="no_evidence"),
        }
        row = rows_of(tmp_path, tables)["m", "oracle"]
        assert row.n == 0
        assert row.accuracy is row.ci_low is row.delta_baseline is row.headroom is None

    def test_tables_about_different_samples_are_refused(self, tmp_path: Path) -> None:
        paths = write(
            tmp_path, {("m", "baseline"): a_table([True] * 3), ("m", "active"): a_table([True] * 2)}
        )
        with pytest.raises(DataError, match=r"m-baseline.* and .*m-active.* only one has s2"):
            leaderboard(paths, tmp_path, "demo", {})

    def test_a_missing_table_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"absent\.parquet"):
            leaderboard({("m", "active"): tmp_path / "absent.parquet"}, tmp_path, "demo", {})

    def test_a_file_that_is_not_a_table_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.parquet"
        path.write_bytes(b"not parquet")
        with pytest.raises(DataError, match=r"broken\.parquet"):
            leaderboard({("m", "active"): path}, tmp_path, "demo", {})

    def test_an_empty_leaderboard_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no scores"):
            leaderboard({}, tmp_path, "demo", {})
