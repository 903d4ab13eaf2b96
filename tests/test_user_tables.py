"""Questions come in the tables that people have: any of these kinds, under any names."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.config import DatasetConfig, SliceConfig, parse_section
from active_perception_r1.data.choices import right_options
from active_perception_r1.data.download import download
from active_perception_r1.data.slices import read_slice, sample_slice
from active_perception_r1.data.values import regions
from active_perception_r1.errors import ConfigError, DataError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.storage.files import sha256_of
from tests.docvqa_files import png

Row = dict[str, Any]
SIZE = (200, 100)
OPTIONS = ["red", "blue", "green", "black"]


def pages(folder: Path, count: int = 3) -> list[str]:
    """Names of pages, which all differ."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"page {number}.png" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(png(*SIZE, shade=number))
    return names


def asked(image: object = "page 0.png", **changes: Any) -> Row:
    """A row under the names that need not be said."""
    row = {"id": "q", "image": image, "question": "What colour?", "answers": "blue"}
    return row | changes


def write_jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if ".tsv" in path.name else ",")
        writer.writeheader()
        for row in rows:
            cells = {
                key: value if isinstance(value, str) else json.dumps(value)
                for key, value in row.items()
            }
            writer.writerow(cells)
    return path


def write_parquet(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def write_saved(path: Path, rows: Sequence[Row]) -> Path:
    from datasets import Dataset, DatasetDict

    DatasetDict({"test": Dataset.from_list(list(rows))}).save_to_disk(str(path))
    return path


def drawn(path: Path, split: str = "test", **keys: Any) -> list[Sample]:
    """The usable rows of a table, in the order of a draw."""
    entry = {"source": "file", "path": str(path), **keys}
    dataset = parse_section(DatasetConfig, json.dumps(entry))
    folder = path.parent / "made"
    download(dataset, split, folder / "split.parquet")
    sample_slice(folder / "split.parquet", SliceConfig(), folder / "slice.parquet")
    return list(read_slice(folder / "slice.parquet"))


def one(folder: Path, row: Row, **keys: Any) -> Sample:
    pages(folder)
    (sample,) = drawn(write_jsonl(folder / "t.jsonl", [row]), **keys)
    return sample


def left_out(folder: Path) -> list[dict[str, str]]:
    about = json.loads((folder / "made" / "slice.json").read_text())
    rows: list[dict[str, str]] = about["left_out"]
    return rows


def why_refused(folder: Path, row: Row, **keys: Any) -> str:
    """Why a row is left out; the one beside it is taken."""
    pages(folder)
    good = asked(id="good", answers="red")
    if "options" in row:
        good["options"] = OPTIONS
    table = write_jsonl(folder / "t.jsonl", [row, good])
    assert [sample.id for sample in drawn(table, **keys)] == ["good"]
    (bad,) = left_out(folder)
    return bad["reason"]


class TestKindsOfTables:
    @pytest.fixture
    def rows(self, tmp_path: Path) -> list[Row]:
        return [
            {
                "nr": f"q{number}",
                "picture": name,
                "text": f"What colour is {number}?",
                "A": "red",
                "B": "blue",
                "C": "green",
                "D": "black",
                "right": "ABCD"[number],
                "where": [[20 + number, 10, 40, 20], [120, 50, 20, 20]],
                "kind": "photo",
            }
            for number, name in enumerate(pages(tmp_path))
        ]

    def test_the_same_rows_give_the_same_slice_from_each(
        self, tmp_path: Path, rows: list[Row]
    ) -> None:
        keys = {
            "columns": {
                "id": "nr",
                "image": "picture",
                "question": "text",
                "options": ["A", "B", "C", "D"],
                "answers": "right",
                "evidence": "where",
                "layout": "kind",
            },
            "box_format": "xywh",
            "box_unit": "pixels",
        }
        encoded = [{**row, "picture": (tmp_path / row["picture"]).read_bytes()} for row in rows]
        written = {
            "jsonl": write_jsonl(tmp_path / "t.jsonl", rows),
            "csv": write_csv(tmp_path / "t.csv", rows),
            "tsv": write_csv(tmp_path / "t.tsv", rows),
            "parquet": write_parquet(tmp_path / "t.parquet", encoded),
            "folder": write_jsonl(tmp_path / "folder" / "test.jsonl", _up(rows)).parent,
            "saved": write_saved(tmp_path / "saved", encoded),
        }
        slices = {}
        for kind, path in written.items():
            samples = drawn(path, **keys)
            slices[kind] = sha256_of(path.parent / "made" / "slice.parquet")
            assert {sample.id for sample in samples} == {"q0", "q1", "q2"}
        assert len(set(slices.values())) == 1, slices
        (sample,) = [sample for sample in samples if sample.id == "q1"]
        assert sample.options == tuple(OPTIONS)
        assert sample.answers == ("blue",)
        assert sample.evidence == (
            Evidence("1", Box(21 / 200, 0.1, 61 / 200, 0.3)),
            Evidence("2", Box(0.6, 0.5, 0.7, 0.7)),
        )
        assert (sample.width, sample.height, sample.layout) == (*SIZE, "photo")

    def test_a_folder_has_a_table_for_each_split_whatever_its_kind(self, tmp_path: Path) -> None:
        pages(tmp_path)
        write_jsonl(tmp_path / "train.jsonl", [asked(id="a")])
        write_csv(tmp_path / "test.csv", [asked(id="b")])
        assert [sample.id for sample in drawn(tmp_path, "train")] == ["a"]
        assert [sample.id for sample in drawn(tmp_path, "test")] == ["b"]
        with pytest.raises(DataError, match="no split 'dev'; there are: test, train"):
            drawn(tmp_path, "dev")

    def test_two_tables_of_one_split_are_refused(self, tmp_path: Path) -> None:
        pages(tmp_path)
        write_jsonl(tmp_path / "test.jsonl", [asked()])
        write_csv(tmp_path / "test.csv", [asked()])
        with pytest.raises(DataError, match=r"test\.csv and test\.jsonl: two tables of one split"):
            drawn(tmp_path)

    def test_a_dataset_saved_without_splits_serves_each(self, tmp_path: Path) -> None:
        from datasets import Dataset

        Dataset.from_list([asked(png())]).save_to_disk(str(tmp_path / "saved"))
        assert [sample.id for sample in drawn(tmp_path / "saved", "any")] == ["q"]

    def test_cells_of_csv_are_text_unless_they_are_lists_or_objects_in_json(
        self, tmp_path: Path
    ) -> None:
        pages(tmp_path)
        rows = [asked(answers="42"), asked(id="r", answers=["4", "four"])]
        samples = drawn(write_csv(tmp_path / "t.csv", rows))
        assert {sample.id: sample.answers for sample in samples} == {
            "q": ("42",),
            "r": ("4", "four"),
        }

    def test_a_byte_order_mark_is_no_part_of_a_name(self, tmp_path: Path) -> None:
        pages(tmp_path)
        path = write_csv(tmp_path / "t.csv", [asked()])
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert [sample.id for sample in drawn(path)] == ["q"]

    @pytest.mark.parametrize(
        ("line", "place", "reason"),
        [
            ('{"id": "bad"', "line 2", "line 2 is not valid JSON"),
            ("[1, 2]", "line 2", "line 2 is not a JSON object"),
        ],
    )
    def test_a_line_that_is_no_row_costs_itself_only(
        self, tmp_path: Path, line: str, place: str, reason: str
    ) -> None:
        pages(tmp_path)
        path = write_jsonl(tmp_path / "t.jsonl", [asked(id="a"), asked(id="b", answers="x")])
        first, second = path.read_text().splitlines()
        path.write_text("\n".join([first, line, "", second]))
        assert {sample.id for sample in drawn(path)} == {"a", "b"}
        (bad,) = left_out(tmp_path)
        assert bad["id"] == place
        assert bad["reason"].startswith(reason)

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "\ud83d"},
            {"image": "\ud83d.png"},
            {"question": "\ud83d"},
            {"answers": ["blue", "\udc00"]},
            {"evidence": [{"box": [0, 0, 1, 1], "\ud83d": 1}]},
        ],
    )
    def test_half_a_surrogate_pair_costs_its_row_only_wherever_it_stands(
        self, tmp_path: Path, changes: Row
    ) -> None:
        reason = why_refused(tmp_path, asked(evidence=[]) | changes)
        assert reason.startswith(f"column {next(iter(changes))}: ")

    def test_a_line_of_too_few_cells_costs_itself_only(self, tmp_path: Path) -> None:
        pages(tmp_path)
        path = write_csv(tmp_path / "t.csv", [asked()])
        path.write_text(path.read_text() + "r,page 1.png\n")
        assert [sample.id for sample in drawn(path)] == ["q"]
        assert left_out(tmp_path) == [
            {"id": "line 3", "reason": "line 3 has not the 4 cells that the first line names"}
        ]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("t.xlsx", b"PK", r"t\.xlsx: not a table that can be read; known: \.parquet, \.jsonl"),
            ("t.csv", "Größe".encode("latin-1"), r"t\.csv: not UTF-8 text"),
            ("t.jsonl", b"", r"t\.jsonl: no column 'image'"),
        ],
    )
    def test_a_file_that_is_no_table_is_named(
        self, tmp_path: Path, name: str, content: bytes, message: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            drawn(tmp_path / name)


def _up(rows: list[Row]) -> list[Row]:
    return [{**row, "picture": f"../{row['picture']}"} for row in rows]


class TestNamesOfColumns:
    def test_dots_lead_into_structs(self, tmp_path: Path) -> None:
        row = {"image": "page 0.png", "qa": {"q": {"en": "Which?"}, "a": ["this"]}}
        sample = one(tmp_path, row, columns={"question": "qa.q.en", "answers": "qa.a"})
        assert (sample.question, sample.answers) == ("Which?", ("this",))

    def test_a_column_that_is_not_there_is_named_with_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"columns\.image: there is no column 'pictur'; did you mean 'picture'"
        ):
            one(
                tmp_path,
                {"picture": "x", "question": "?", "answers": "a"},
                columns={"image": "pictur"},
            )

    def test_what_is_needed_and_not_there_is_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError,
            match=r"no column 'answers'; say which one it is by `columns: \{answers: NAME",
        ):
            one(tmp_path, {"image": "page 0.png", "question": "?", "label": "a"})

    def test_a_key_that_is_no_kind_of_column_is_an_error_in_the_configuration(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match=r"columns\.img: unknown key; did you mean"):
            one(tmp_path, asked(), columns={"img": "image"})

    def test_a_type_that_cannot_be_meant_is_told_before_rows_are_read(self, tmp_path: Path) -> None:
        path = write_parquet(tmp_path / "t.parquet", [asked(image=7)])
        with pytest.raises(
            DataError,
            match="column image is of type int64, but image must be bytes, base64, a path, or a"
            " struct with bytes or path; convert it, or name another one",
        ):
            drawn(path)

    def test_an_id_is_made_of_the_content_where_there_is_none(self, tmp_path: Path) -> None:
        rows = [asked(id=None), asked(id=None, question="Which?"), asked("page 1.png", id=None)]
        pages(tmp_path)
        ids = {sample.id for sample in drawn(write_jsonl(tmp_path / "t.jsonl", rows))}
        assert len(ids) == 3
        again = drawn(write_jsonl(tmp_path / "t.jsonl", rows[::-1]))
        assert {sample.id for sample in again} == ids

    def test_ocr_is_used_where_there_is_any(self, tmp_path: Path) -> None:
        words = {"words": ["total", "blue"], "bounding_boxes": [[0, 0, 0.1, 0.1], [0.5, 0, 1, 0.1]]}
        sample = one(tmp_path, asked(**words))
        assert sample.evidence == (Evidence("answer", Box(0.5, 0.0, 1.0, 0.1)),)


class TestImages:
    @pytest.mark.parametrize(
        "form",
        [
            lambda name, page: name,
            lambda name, page: base64.b64encode(page).decode(),
            lambda name, page: f"data:image/png;base64,{base64.b64encode(page).decode()}",
            lambda name, page: {"bytes": None, "path": name},
            lambda name, page: {"bytes": base64.b64encode(page).decode(), "path": "elsewhere"},
            lambda name, page: [name],
        ],
        ids=["path", "base64", "data", "struct of a path", "struct of base64", "list of one"],
    )
    def test_a_page_may_come_as(self, tmp_path: Path, form: Callable[[str, bytes], object]) -> None:
        name = pages(tmp_path)[1]
        page = (tmp_path / name).read_bytes()
        assert one(tmp_path, asked(form(name, page))).image == page

    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            ("lost.png", "column image: no file 'lost.png' in"),
            ("https://example.org/a.png", "is elsewhere; download it, and give its path"),
            (["page 0.png", "page 1.png"], "2 pages; a question here is about one"),
            (7, "column image: a number where a page should be"),
            (None, "it has no image"),
            ("~nobody/x.png", "no file '~nobody/x.png'"),
            ("a" * 300 + ".png", "cannot be read (File name too long)"),
            ("seite-ä.png", "no file 'seite-ä.png'"),
            ("a\0b", "no file 'a"),
        ],
    )
    def test_a_page_that_is_not_there_costs_its_row_only(
        self, tmp_path: Path, image: object, reason: str
    ) -> None:
        assert reason in why_refused(tmp_path, asked(image))

    def test_several_pages_in_a_question_are_refused_at_the_door(self, tmp_path: Path) -> None:
        row = {"question": "?", "answers": "a", "image_1": "page 0.png", "image_2": None}
        with pytest.raises(DataError, match="several pages in a question .* are not supported"):
            one(tmp_path, row)


class TestOptions:
    @pytest.mark.parametrize("answer", ["B", "b", "(B)", "B.", 1, "blue", ["blue"]])
    def test_the_right_one_is_a_letter_an_index_from_0_or_a_text(
        self, tmp_path: Path, answer: object
    ) -> None:
        sample = one(tmp_path, asked(options=OPTIONS, answers=answer))
        assert (sample.options, sample.answers) == (tuple(OPTIONS), ("blue",))

    def test_there_may_be_fewer_than_there_are_columns(self, tmp_path: Path) -> None:
        row = {**asked(answers="B"), "A": "red", "B": "blue", "C": "", "D": None}
        sample = one(tmp_path, row, columns={"options": ["A", "B", "C", "D"]})
        assert sample.options == ("red", "blue")

    @pytest.mark.parametrize(
        ("options", "answer", "reason"),
        [
            (["A", "B", "C"], "A", "column options: the options are letters; give their texts"),
            (["(A)", "(B)"], "A", "the options are letters"),
            (["A. red", "B. blue"], "A", "the options begin with letters ('A. red'); leave them"),
            (["red", "red"], "A", "two options are the same"),
            (["red"], "A", "1 options; give 2 to 26"),
            (OPTIONS, "E", "column answers: 'E' is no text, letter or index from 0 of the 4"),
            (OPTIONS, 4, "4 is no text, letter or index from 0 of the 4 options"),
            (OPTIONS, -1, "-1 is no text, letter or index from 0 of the 4 options"),
            (OPTIONS, "a dog", "'a dog' is no text, letter or index"),
            (["0", "1", "2"], 1.5, "1.5 is no text, letter or index"),
            (["2", "1", "0"], 2, "2 may mean '0' or '2'; give the right option's text, as text"),
            (["B", "C", "A"], "A", "'A' may mean 'A' or 'B'"),
            (OPTIONS, None, "it has no answer"),
        ],
    )
    def test_nothing_is_guessed(
        self, tmp_path: Path, options: list[str], answer: object, reason: str
    ) -> None:
        assert reason in why_refused(tmp_path, asked(options=options, answers=answer))

    @given(st.lists(st.text("abcdefgh ", min_size=2).map(str.strip), min_size=2, max_size=8))
    def test_letter_and_text_and_index_agree(self, options: list[str]) -> None:
        distinct = [option for option in dict.fromkeys(options) if len(option) > 1]
        for place, option in enumerate(distinct):
            letter = "ABCDEFGH"[place]
            assert (
                right_options(letter, distinct)
                == right_options(place, distinct)
                == right_options(option, distinct)
                == (option,)
            )


class TestGivenEvidence:
    def test_boxes_are_all_required_and_equal_labels_are_alternatives(self) -> None:
        assert [r.label for r in regions([[0, 0, 1, 1], [0, 0, 2, 2]], "xyxy")] == ["1", "2"]
        labelled = [
            {"label": "total", "box": [0, 0, 1, 1]},
            {"label": "total", "box": [2, 2, 3, 3]},
        ]
        assert [r.label for r in regions(labelled, "xyxy")] == ["total", "total"]

    def test_lists_beside_each_other_are_rows(self) -> None:
        """The form in which parquet files of the `datasets` library hold rows."""
        table = {"label": ["a", "b"], "box": [[0, 0, 1, 1], [2, 2, 3, 3]]}
        assert [(r.label, r.box) for r in regions(table, "xyxy")] == [
            ("a", (0, 0, 1, 1)),
            ("b", (2, 2, 3, 3)),
        ]

    def test_one_box_is_one_region(self, tmp_path: Path) -> None:
        row = asked(evidence=[20, 10, 60, 30])
        sample = one(tmp_path, row, box_unit="pixels")
        assert sample.evidence == (Evidence("1", Box(0.1, 0.1, 0.3, 0.3)),)

    def test_a_part_outside_the_page_is_cut_off(self, tmp_path: Path) -> None:
        sample = one(tmp_path, asked(evidence=[20, 10, 202, 30]), box_unit="pixels")
        assert sample.evidence[0].box == Box(0.1, 0.1, 1.0, 0.3)

    def test_small_evidence_needs_a_zoom(self, tmp_path: Path) -> None:
        small = one(tmp_path, asked(evidence=[[0.1, 0.1, 0.2, 0.2]]))
        large = one(tmp_path / "large", asked(evidence=[[0.1, 0.1, 0.9, 0.9]]))
        told = one(tmp_path / "told", asked(evidence=[[0.1, 0.1, 0.2, 0.2]], requires_zoom=0))
        assert (small.requires_zoom, large.requires_zoom, told.requires_zoom) == (
            True,
            False,
            False,
        )

    def test_a_unit_that_is_not_clear_is_asked_for(self, tmp_path: Path) -> None:
        pages(tmp_path)
        (tmp_path / "large.png").write_bytes(png(2000, 1500))
        row = asked("large.png", evidence=[100, 100, 300, 300])
        with pytest.raises(DataError, match=r"possible: thousand, pixels.*set box_unit"):
            one(tmp_path, row)

    @pytest.mark.parametrize(
        ("evidence", "reason"),
        [
            ([[0, 0, 1]], "[0, 0, 1] is not a box of four numbers"),
            ("left", "column evidence: 'left' is no list of boxes"),
            ([{"bbox": [0, 0, 1, 1]}], "is neither a box nor {label, box}"),
            ([{"box": [0, 0, 1, 1], "weight": 0}], "weight 0 is no number above 0"),
            ([{"box": [0, 0, 1, 1], "name": "x"}], "has name; known: label, box, weight"),
            ({"label": ["a"], "box": [[0, 0, 1, 1]] * 2}, "lists of different lengths"),
        ],
    )
    def test_what_is_no_box_costs_its_row_only(
        self, tmp_path: Path, evidence: object, reason: str
    ) -> None:
        assert reason in why_refused(tmp_path, asked(evidence=evidence))

    def test_several_lists_written_as_text_are_not_taken_for_a_text(self, tmp_path: Path) -> None:
        assert "a list written as text (\"['blue']\"); give a list" in why_refused(
            tmp_path, asked(answers="['blue']")
        )


class TestWhatIsReadAnew:
    def content(self, path: Path) -> tuple[str, list[Path]]:
        dataset = parse_section(DatasetConfig, json.dumps({"source": "file", "path": str(path)}))
        return dataset.content, dataset.files("test")

    def test_a_table_is_a_file_that_is_watched(self, tmp_path: Path) -> None:
        table = write_jsonl(tmp_path / "mine" / "test.jsonl", [asked()])
        assert self.content(table) == ("", [table])
        assert self.content(table.parent) == ("", [table])

    def test_a_folder_with_pages_is_known_by_all_that_is_in_it(self, tmp_path: Path) -> None:
        table = write_jsonl(tmp_path / "mine" / "test.jsonl", [asked()])
        pages(table.parent)
        before, files = self.content(table.parent)
        assert (before != "", files) == (True, [table])
        (table.parent / "page 0.png").write_bytes(png(shade=7))
        assert self.content(table.parent)[0] != before
