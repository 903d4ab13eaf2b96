"""The files of a leaderboard: what is in them, and how they are read."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from active_perception_r1.columns import columns
from active_perception_r1.errors import DataError
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, as_json, read_leaderboard
from active_perception_r1.scoring.tables import print_leaderboard
from tests.test_leaderboard import a_table, alone, rows_of

FIRST_KEYS = ["model", "mode", "n", "accuracy", "ci_low", "ci_high", "delta_baseline", "p_value"]
PROMISED_KEYS = {
    *FIRST_KEYS,
    *("score", "anls", "zoom_rate", "strict_satisfied", "coverage", "reward", "tool_status"),
}


@pytest.fixture
def tables() -> dict[tuple[str, str], pd.DataFrame]:
    return {
        ("m", "baseline"): a_table([False] * 4),
        ("m", "strict_zoom"): a_table([True, True, True, False]),
        ("m", "oracle"): a_table([True] * 4),
        ("m+grpo", "strict_zoom"): a_table([True] * 4),
    }


def test_rows_keep_the_given_order_and_begin_with_the_promised_keys(
    tmp_path: Path, tables: dict[tuple[str, str], pd.DataFrame]
) -> None:
    rows_of(tmp_path, tables, {"m+grpo": "m"})
    rows = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))
    assert [(row["model"], row["mode"]) for row in rows] == list(tables)
    assert all(list(row)[: len(FIRST_KEYS)] == FIRST_KEYS for row in rows)
    assert all(row.keys() >= PROMISED_KEYS for row in rows)
    assert all(row.keys() >= columns(LeaderboardRow).keys() for row in rows)


def test_rows_are_read_as_they_were_written(
    tmp_path: Path, tables: dict[tuple[str, str], pd.DataFrame]
) -> None:
    rows = rows_of(tmp_path, tables, {"m+grpo": "m"})
    assert read_leaderboard(tmp_path / "leaderboard.json") == list(rows.values())


def test_a_leaderboard_of_another_version_is_refused(
    tmp_path: Path, tables: dict[tuple[str, str], pd.DataFrame]
) -> None:
    row = as_json(rows_of(tmp_path, tables)["m", "baseline"])
    path = tmp_path / "old.json"
    path.write_text(json.dumps([{**row, "n": "many"}]), encoding="utf-8")
    with pytest.raises(DataError, match=r"old\.json: n: .* run leaderboard again"):
        read_leaderboard(path)
    del row["zoom_rate"]
    path.write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DataError, match=r"old\.json: zoom_rate: .*required"):
        read_leaderboard(path)


def test_the_same_scores_give_the_same_bytes(
    tmp_path: Path, tables: dict[tuple[str, str], pd.DataFrame]
) -> None:
    names = ("leaderboard.json", "leaderboard.csv", "leaderboard.md")
    rows_of(tmp_path, tables)
    first = [(tmp_path / name).read_bytes() for name in names]
    rows_of(tmp_path, tables)
    assert first == [(tmp_path / name).read_bytes() for name in names]


def test_the_csv_is_flat(tmp_path: Path, tables: dict[tuple[str, str], pd.DataFrame]) -> None:
    rows_of(tmp_path, tables)
    with (tmp_path / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["accuracy"] == "0.75"
    assert rows[1]["by_layout.table.n"] == "2"
    assert rows[1]["tool_status.answered"] == "4"
    assert rows[0]["p_value"] == ""
    assert rows[1]["gained"] == "3"
    assert rows[0]["p_value"] == ""


def test_the_markdown_shows_results_layouts_statuses_and_notes(
    tmp_path: Path, tables: dict[tuple[str, str], pd.DataFrame]
) -> None:
    rows_of(tmp_path, tables, {"m+grpo": "m"})
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert text.startswith("# Leaderboard of study demo\n")
    assert "0.750 [0.010, 0.999]" in text  # on two pages
    assert "Too few documents for an interval" in text
    assert "| +0.750 (p = 1.000) | +3/-0" in text  # 0.500 as one of three
    assert "| +0.250 (p = 1.000) |" in text  # the trained model against its base
    assert "1.000 (n=2)" in text
    assert "diagnostic" in text


def test_the_markdown_shows_the_score_where_it_is_more_than_right_or_wrong(tmp_path: Path) -> None:
    graded = [0.0, 0.25, 0.5, 1.0]
    page = tmp_path / "leaderboard.md"
    for scores, shown in ((graded, True), ([0.0, 0.0, 0.0, 1.0], False)):
        tables = {
            ("m", "baseline"): a_table([False, False, False, True], score=scores),
            ("m", "active"): a_table([False, False, False, True], score=scores),
        }
        rows_of(tmp_path, tables)
        head = page.read_text(encoding="utf-8").splitlines()[2]
        assert ("Score vs baseline" in head) is shown


def test_the_markdown_has_no_anls_where_no_answer_is_free(tmp_path: Path) -> None:
    rows_of(tmp_path, {("m", "active"): alone([True] * 40, anls=None, anls_lmms=None)})
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "ANLS" not in text.splitlines()[2]
    assert "Too few documents" not in text


def test_it_prints_from_the_json(
    tmp_path: Path,
    tables: dict[tuple[str, str], pd.DataFrame],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows_of(tmp_path, tables)
    print_leaderboard(tmp_path / "leaderboard.json")
    text = capsys.readouterr().out
    assert "0.750 [0.010, 0.999]" in text
    assert "Too few documents for an interval" in text
    assert "1.000 (n=2)" in text


@pytest.mark.parametrize("content", [None, "{"])
def test_a_missing_or_damaged_json_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "leaderboard.json"
    if content:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"leaderboard\.json"):
        print_leaderboard(path)
