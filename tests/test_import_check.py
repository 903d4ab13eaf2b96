"""`import --check` reads all of a dataset, and says what is understood of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from active_perception_r1.cli import main
from active_perception_r1.config import Config, load_config
from tests.docvqa_files import docvqa_row, png, write_rows
from tests.test_user_tables import OPTIONS, Row, asked, pages, write_jsonl

SHIPPED = Path(__file__).parent.parent / "workflow_config.yaml"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def many(count: int, **changes: object) -> list[Row]:
    return [
        asked(id=f"q{number}", question=f"Which, {number}?", **changes) for number in range(count)
    ]


def checked(*words: str) -> int:
    return main(["import", "--check", *words])


def test_it_tells_counts_sizes_units_and_what_is_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages(here)
    rows = [
        *many(3, evidence=[[0.1, 0.1, 0.2, 0.2]]),
        asked(id="large", evidence=[[0.0, 0.0, 1.0, 1.0]]),
        asked(id="none"),
        asked("lost.png", id="bad"),
        asked("lost.png", id="worse"),
        asked(id="none"),
    ]
    assert checked(str(write_jsonl(here / "t.jsonl", rows))) == 0
    assert capsys.readouterr().out.splitlines()[:8] == [
        "every split: 8 rows, 5 can be used, about 1 pages",
        "  sizes of pages: 200 to 200 by 100 to 100 pixels",
        "  unit of boxes: unit, by the data",
        "  with evidence: 4; of these require a zoom: 3",
        "  with options: 0",
        "  left out: 2, such as 'bad': column image: no file 'lost.png' in .",
        "  left out: 1, such as 'none': its id occurs twice",
        "  without evidence: 1; in training, the relevance of their zooms will always be 0, and"
        " oracle cannot be run on them",
    ]


def test_what_it_prints_for_a_configuration_is_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages(here)
    rows = [{"nr": row.pop("id"), **row} for row in many(4, image="../page 0.png", options=OPTIONS)]
    table = write_jsonl(here / "mine" / "test.jsonl", rows)
    assert checked(str(table.parent), "--columns", "id=nr") == 0
    study = capsys.readouterr().out.partition("\n\n")[2]
    (here / "mine.yaml").write_text(study)
    config: Config = load_config(SHIPPED, here / "mine.yaml")
    chosen = config.studies[config.study]
    assert len(study.strip().splitlines()) <= 8
    assert yaml.safe_load(study)["studies"]["mine"]["dataset"] == {
        "source": "file",
        "path": "mine",
        "columns": {"id": "nr"},
    }
    assert (chosen.slice.split, chosen.slice.samples) == ("test", 4)
    assert chosen.task == "multiple_choice"
    assert chosen.modes == ["baseline", "active"]


def test_every_split_is_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages(here)
    for split, count in (("train", 3), ("test", 2)):
        write_jsonl(here / "mine" / f"{split}.jsonl", many(count, image="../page 0.png"))
    assert checked("mine") == 0
    told = capsys.readouterr().out
    assert "test: 2 rows" in told
    assert "train: 3 rows" in told


def test_the_sheet_shows_twelve_pages_with_question_answer_and_boxes(here: Path) -> None:
    pages(here)
    rows = many(20, evidence=[{"label": "<total>", "box": [0.1, 0.2, 0.3, 0.4]}], answers="a & b")
    assert checked(str(write_jsonl(here / "t.jsonl", rows)), "--sheet", "look.html") == 0
    sheet = (here / "look.html").read_text()
    assert sheet.count("<figure>") == 12
    assert sheet.count("data:image/jpeg;base64,") == 12
    assert "left: 10.000%; top: 20.000%" in sheet
    assert "&lt;total&gt;" in sheet
    assert "a &amp; b" in sheet


def test_the_layout_of_docvqa_is_known_by_its_columns(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "all.parquet", [docvqa_row(f"q{i}", image=png(shade=i)) for i in range(3)])
    assert checked("all.parquet") == 0
    assert "every split: 3 rows, 3 can be used, about 3 pages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "'nowhere' is no file or folder here, no owner/name on the hub"),
        (["t.jsonl", "--columns", "image"], "--columns: 'image' is not KEY=NAME"),
        (["t.jsonl", "--columns", "imag=x"], "columns.imag: unknown key; did you mean 'image'?"),
        (["t.jsonl", "--box-unit", "inch"], "box_unit: 'inch' is not defined; known: unit"),
        (["t.jsonl"], "t.jsonl: no row can be used"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (here / "t.jsonl").write_text(json.dumps(asked("lost.png")) + "\n")
    assert checked(*words) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
