"""Whatever its source, a split comes to disk in one layout, with what is known about it beside."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from active_perception_r1.config.sources.hub import HubDataset
from active_perception_r1.config.sources.parquet import ParquetDataset
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.boxes import BoxSurvey, page_boxes
from active_perception_r1.data.download import download
from active_perception_r1.data.questions import SCHEMA
from active_perception_r1.data.sources import READERS
from active_perception_r1.data.synthetic import LAYOUTS
from active_perception_r1.errors import DataError
from active_perception_r1.storage.rows import read_rows
from tests.docvqa_files import ROTATED, docvqa_row, encoded, png, write_rows

SYNTHETIC = SyntheticDataset(source="synthetic", seed=3, questions={"train": 15, "test": 24})


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def about(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return content


def parquet(path: Path, **options: Any) -> ParquetDataset:
    return ParquetDataset(source="parquet", path=path, **options)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dataset")
    paths = {split: folder / f"{split}.parquet" for split in SYNTHETIC.questions}
    for split, path in paths.items():
        download(SYNTHETIC, split, path)
    return paths


class TestSyntheticPages:
    def test_a_split_has_as_many_questions_as_configured(self, splits: dict[str, Path]) -> None:
        assert {split: len(rows_of(path)) for split, path in splits.items()} == SYNTHETIC.questions

    def test_layouts_are_balanced(self, splits: dict[str, Path]) -> None:
        layouts = Counter(row["layout"] for row in rows_of(splits["test"]))
        assert layouts == dict.fromkeys(LAYOUTS, 8)

    def test_no_page_is_in_two_splits_or_twice_in_one(self, splits: dict[str, Path]) -> None:
        rows = [row for path in splits.values() for row in rows_of(path)]
        assert len({row["doc_id"] for row in rows}) == len(rows)
        assert len({row["image"] for row in rows}) == len(rows)

    def test_the_answer_is_the_word_that_the_span_names(self, splits: dict[str, Path]) -> None:
        for row in rows_of(splits["train"]):
            assert row["words"][row["span"]["start"]] == row["answers"][0]
            assert row["span"]["exact"]

    def test_one_question_of_four_is_about_large_print_and_needs_no_zoom(
        self, splits: dict[str, Path]
    ) -> None:
        large: Counter[str] = Counter()
        for row in rows_of(splits["test"]):
            _, top, _, bottom = row["word_boxes"][row["span"]["start"]]
            pixels = (bottom - top) * 112  # of the first view
            assert row["requires_zoom"] == (pixels < 4)
            large[row["layout"]] += not row["requires_zoom"]
        assert large == dict.fromkeys(LAYOUTS, 2)

    def test_neither_its_words_nor_large_print_in_sight_tell_whether_a_question_needs_a_zoom(
        self, splits: dict[str, Path]
    ) -> None:
        """A total may be in small print, and beside large print others are asked, too."""
        asked: Counter[tuple[str, bool, bool]] = Counter()
        for row in rows_of(splits["test"]):
            heights = [
                bottom - top
                for text, (_, top, _, bottom) in zip(row["words"], row["word_boxes"], strict=True)
                if text.isdigit()
            ]
            about_total = row["question"] == "What is the value of the total?"
            asked[row["layout"], about_total, max(heights) * 112 > 9] += 1
        each = {(True, True): 2, (True, False): 1, (False, True): 3, (False, False): 2}
        assert asked == {(layout, *kind): n for layout in LAYOUTS for kind, n in each.items()}

    def test_pages_are_whole_images(self, splits: dict[str, Path]) -> None:
        for row in rows_of(splits["test"]):
            Image.open(io.BytesIO(row["image"])).load()

    def test_the_same_seed_gives_the_same_file(
        self, splits: dict[str, Path], tmp_path: Path
    ) -> None:
        download(SYNTHETIC, "test", tmp_path / "test.parquet")
        assert about(tmp_path / "test.parquet")["sha256"] == about(splits["test"])["sha256"]

    def test_another_seed_gives_other_pages(self, splits: dict[str, Path], tmp_path: Path) -> None:
        other = SYNTHETIC.model_copy(update={"seed": 4})
        download(other, "test", tmp_path / "test.parquet")
        images = {row["image"] for row in rows_of(splits["test"])}
        assert images.isdisjoint(row["image"] for row in rows_of(tmp_path / "test.parquet"))

    def test_what_is_known_stands_beside_the_rows(self, splits: dict[str, Path]) -> None:
        known = about(splits["test"])
        assert known["rows"] == 24
        assert known["box_unit"] == "unit"
        assert known["dataset"]["seed"] == 3
        assert known["sha256"] == hashlib.sha256(splits["test"].read_bytes()).hexdigest()

    def test_an_unknown_split_is_refused_with_the_names_of_all(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no split 'dev'; there are: train, test"):
            download(SYNTHETIC, "dev", tmp_path / "dev.parquet")


class TestParquetFiles:
    def test_rows_arrive_unchanged_and_in_order(self, tmp_path: Path) -> None:
        rows = [docvqa_row(f"q{i}", layout="receipt") for i in range(20)]
        output = tmp_path / "out" / "test.parquet"
        download(parquet(write_rows(tmp_path / "all.parquet", rows)), "test", output)
        written = rows_of(output)
        assert [row["id"] for row in written] == [row["id"] for row in rows]
        assert written[0]["image"] == rows[0]["image"]["bytes"]
        assert written[0]["word_boxes"] == rows[0]["bounding_boxes"]
        assert written[0]["layout"] == "receipt"
        assert pq.read_schema(output).equals(SCHEMA)

    def test_images_may_be_plain_bytes(self, tmp_path: Path) -> None:
        source = write_rows(tmp_path / "all.parquet", [{**docvqa_row(), "image": png()}])
        download(parquet(source), "test", tmp_path / "test.parquet")
        assert rows_of(tmp_path / "test.parquet")[0]["image"] == png()

    def test_rows_can_be_read_from_any_on(self, tmp_path: Path) -> None:
        table = pa.Table.from_pylist([docvqa_row(f"q{i}") for i in range(20)])
        pq.write_table(table, tmp_path / "all.parquet", row_group_size=9)
        rows = list(read_rows(tmp_path / "all.parquet", table.column_names))
        for start in range(22):
            assert (
                list(read_rows(tmp_path / "all.parquet", table.column_names, start)) == rows[start:]
            )

    def test_text_that_is_not_utf_8_is_named(self, tmp_path: Path) -> None:
        table = pa.Table.from_pylist([docvqa_row()])
        latin_1 = pa.array(["Größe".encode("latin-1")]).view(pa.string())
        path = tmp_path / "all.parquet"
        pq.write_table(table.set_column(table.column_names.index("id"), "id", latin_1), path)
        with pytest.raises(DataError, match=r"all.parquet: a text is not UTF-8"):
            download(parquet(path), "test", tmp_path / "test.parquet")

    def test_one_file_serves_every_split_and_a_folder_holds_one_for_each(
        self, tmp_path: Path
    ) -> None:
        folder = write_rows(tmp_path / "in" / "test.parquet", [docvqa_row("a")]).parent
        write_rows(folder / "train.parquet", [docvqa_row("b")])
        for name, source in [("file", folder / "test.parquet"), ("folder", folder)]:
            download(parquet(source), "train", tmp_path / f"{name}.parquet")
        assert rows_of(tmp_path / "file.parquet")[0]["id"] == "a"
        assert rows_of(tmp_path / "folder.parquet")[0]["id"] == "b"

    def test_the_revision_is_the_hash_of_the_file(self, tmp_path: Path) -> None:
        source = write_rows(tmp_path / "all.parquet", [docvqa_row()])
        download(parquet(source), "test", tmp_path / "test.parquet")
        expected = hashlib.sha256(source.read_bytes()).hexdigest()
        assert about(tmp_path / "test.parquet")["revision"] == expected

    def test_a_split_without_a_file_is_refused_with_the_names_of_all(self, tmp_path: Path) -> None:
        write_rows(tmp_path / "train.parquet", [docvqa_row()])
        with pytest.raises(DataError, match="no split 'test'; there are: train"):
            download(parquet(tmp_path), "test", tmp_path / "out" / "test.parquet")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere\.parquet: no such file"):
            download(parquet(tmp_path / "nowhere.parquet"), "test", tmp_path / "test.parquet")

    def test_a_file_of_another_kind_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "page.parquet").write_text("not parquet")
        with pytest.raises(DataError, match=r"page\.parquet: not a readable parquet file"):
            download(parquet(tmp_path / "page.parquet"), "test", tmp_path / "test.parquet")

    def test_missing_columns_are_named(self, tmp_path: Path) -> None:
        row = docvqa_row()
        del row["words"], row["answers"]
        source = write_rows(tmp_path / "all.parquet", [row])
        with pytest.raises(DataError, match="column answers, words missing"):
            download(parquet(source), "test", tmp_path / "test.parquet")

    def test_a_column_of_a_wrong_type_is_refused(self, tmp_path: Path) -> None:
        source = write_rows(tmp_path / "all.parquet", [docvqa_row(answers={"text": "9.00"})])
        with pytest.raises(
            DataError, match="column answers is of type struct.*, but answers must be a text or a"
        ):
            download(parquet(source), "test", tmp_path / "test.parquet")

    @pytest.mark.parametrize(
        ("column", "value", "expected"),
        [
            ("id", 7, {"id": "7"}),
            ("doc_id", 7, {"doc_id": "7"}),
            ("layout", 2, {"layout": "2"}),
            ("answers", "9.00", {"answers": ["9.00"]}),
            ("answers", [9, 10], {"answers": ["9", "10"]}),
            ("requires_zoom", 1, {"requires_zoom": True}),
            ("requires_zoom", "no", {"requires_zoom": False}),
            ("exact_span", 1, {"span": {"start": 2, "text": "9.00", "exact": True}}),
        ],
    )
    def test_numbers_stand_for_texts_and_0_and_1_for_truth(
        self, tmp_path: Path, column: str, value: object, expected: dict[str, Any]
    ) -> None:
        source = write_rows(tmp_path / "all.parquet", [docvqa_row(**{column: value})])
        download(parquet(source), "test", tmp_path / "test.parquet")
        (row,) = rows_of(tmp_path / "test.parquet")
        assert {key: row[key] for key in expected} == expected

    def test_images_may_be_paths_from_the_file_on(self, tmp_path: Path) -> None:
        (tmp_path / "page.png").write_bytes(png())
        rows = [
            {**docvqa_row("a"), "image": {"path": "page.png"}},
            {**docvqa_row("b"), "image": {"path": "lost.png"}},
        ]
        download(parquet(write_rows(tmp_path / "all.parquet", rows)), "t", tmp_path / "t.parquet")
        there, lost = rows_of(tmp_path / "t.parquet")
        assert there["image"] == png()
        assert lost["unusable"] == f"column image: no file 'lost.png' in {tmp_path}"

    def test_a_file_without_rows_is_refused(self, tmp_path: Path) -> None:
        empty = pq.read_table(write_rows(tmp_path / "all.parquet", [docvqa_row()])).slice(0, 0)
        pq.write_table(empty, tmp_path / "all.parquet")
        with pytest.raises(DataError, match="there are no rows"):
            download(parquet(tmp_path / "all.parquet"), "test", tmp_path / "test.parquet")

    def test_a_failure_leaves_nothing_behind(self, tmp_path: Path) -> None:
        boxes = [[100.0, 100.0, 300.0, 130.0]] * 3  # thousandths or pixels
        rows = [docvqa_row(image=png(1000, 1000), bounding_boxes=boxes)]
        source = write_rows(tmp_path / "all.parquet", rows)
        with pytest.raises(DataError, match="set box_unit"):
            download(
                parquet(source), "test", tmp_path / "out" / "test.parquet", tmp_path / "partial"
            )
        assert list((tmp_path / "out").iterdir()) == []

    def test_an_unwritable_folder_is_named(self, tmp_path: Path) -> None:
        source = write_rows(tmp_path / "all.parquet", [docvqa_row()])
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file'$"):
            download(
                parquet(source), "test", tmp_path / "file" / "test.parquet", tmp_path / "partial"
            )


class TestHub:
    @pytest.fixture(autouse=True)
    def _no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        """A local folder as a dataset repository, written by the library that will read it."""
        from datasets import Dataset, Features, List, Value
        from datasets import Image as ImageFeature

        features = Features(
            {
                "id": Value("string"),
                "image": ImageFeature(),
                "query": {"en": Value("string")},
                "answers": List(Value("string")),
                "words": List(Value("string")),
                "bounding_boxes": List(List(Value("float32"), length=4)),
                "answer": {
                    "match_score": Value("float64"),
                    "matched_text": Value("string"),
                    "start": Value("int64"),
                    "text": Value("string"),
                },
            }
        )
        folder = tmp_path / "repository" / "data"
        folder.mkdir(parents=True)
        for split in ("train", "test"):
            rows = [docvqa_row(f"{split}{i}", query={"en": "Total?"}) for i in range(3)]
            data = Dataset.from_list(rows, features=features)
            data.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return folder.parent

    def test_a_local_folder_laid_out_as_a_repository_is_read(
        self, repository: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "test.parquet"
        download(HubDataset(source="hub", id=str(repository)), "test", output)
        rows = rows_of(output)
        assert [row["id"] for row in rows] == ["test0", "test1", "test2"]
        assert rows[0]["image"] == png()  # still as encoded
        assert about(output)["box_unit"] == "unit"

    def test_images_may_be_paths_in_the_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "repository"
        rows = [{**docvqa_row("a"), "image": {"bytes": None, "path": "pages/a.png"}}]
        write_rows(folder / "data" / "test-00000-of-00001.parquet", rows)
        (folder / "pages").mkdir()
        (folder / "pages" / "a.png").write_bytes(png())
        download(HubDataset(source="hub", id=str(folder)), "test", tmp_path / "test.parquet")
        assert rows_of(tmp_path / "test.parquet")[0]["image"] == png()

    def test_its_revision_is_a_hash_of_its_content(self, repository: Path, tmp_path: Path) -> None:
        output, dataset = tmp_path / "test.parquet", HubDataset(source="hub", id=str(repository))
        download(dataset, "test", output)
        before = about(output)["revision"]
        (repository / "README.md").write_text("changed")
        download(dataset, "test", output)
        assert about(output)["revision"] != before

    def test_rows_can_be_read_from_any_on(self, repository: Path) -> None:
        split = READERS["hub"].open(HubDataset(source="hub", id=str(repository)), "test")
        rows = list(split.questions(0))
        for start in range(5):
            assert list(split.questions(start)) == rows[start:]

    def test_an_unknown_split_is_refused_with_the_names_of_all(
        self, repository: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match="no split 'dev'; there are: train, test"):
            download(HubDataset(source="hub", id=str(repository)), "dev", tmp_path / "dev.parquet")

    def test_an_unreachable_hub_is_said_to_be_so(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="'someone/pages' is neither a folder here nor can"):
            download(HubDataset(source="hub", id="someone/pages"), "test", tmp_path / "t.parquet")

    def test_a_folder_without_data_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        dataset = HubDataset(source="hub", id=str(tmp_path / "empty"))
        with pytest.raises(DataError, match="empty: cannot be loaded"):
            download(dataset, "test", tmp_path / "t.parquet")


class TestBoxUnit:
    @staticmethod
    def unit(boxes: list[list[float]], size: tuple[int, int] | None = (1700, 2200)) -> str | None:
        survey = BoxSurvey()
        survey.add(boxes, lambda: size)
        unit: str | None = survey.decide(None, "test")
        return unit

    def test_boxes_within_0_to_1_are_shares_of_the_page(self) -> None:
        assert self.unit([[0.1, 0.1, 0.9, 1.0], [0, 0, 1.01, 1]]) == "unit"

    def test_boxes_beyond_1000_are_pixels(self) -> None:
        assert self.unit([[100, 100, 1600, 2100]]) == "pixels"

    def test_boxes_beyond_a_small_page_are_thousandths(self) -> None:
        assert self.unit([[100, 100, 950, 980]], size=(400, 600)) == "thousand"

    def test_where_both_fit_the_unit_in_which_text_fills_the_page_is_chosen(self) -> None:
        assert self.unit([[100, 100, 950, 980]], size=(1700, 2200)) == "thousand"
        assert self.unit([[10, 10, 580, 770]], size=(600, 790)) == "pixels"

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
    def test_pixels_are_those_of_the_page_as_displayed(self, format: str, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = ROTATED
        page = encoded(Image.new("RGB", (800, 600), "white"), format, exif=exif)
        boxes = [[10.0, 10.0, 590.0, 30.0], [10.0, 700.0, 90.0, 790.0], [5.0, 5.0, 9.0, 9.0]]
        rows = [docvqa_row(image=page, bounding_boxes=boxes)]
        source = write_rows(tmp_path / "all.parquet", rows)
        download(parquet(source), "test", tmp_path / "test.parquet")
        assert about(tmp_path / "test.parquet")["box_unit"] == "pixels"

    def test_the_choice_holds_for_the_whole_split_and_not_for_single_boxes(self) -> None:
        speck = [[0.0, 0.0, 1.0, 1.0]] * 50
        assert self.unit([*speck, [100, 100, 1600, 2100]]) == "pixels"

    @pytest.mark.parametrize("size", [(1000, 1000), None])
    def test_where_both_fill_the_page_the_user_must_say(
        self, size: tuple[int, int] | None, tmp_path: Path
    ) -> None:
        boxes = [[100.0, 100.0, 300.0, 130.0]]
        if size is None:
            assert self.unit(boxes, size) == "thousand"  # no page to measure pixels against
            return
        with pytest.raises(DataError, match=r"possible: thousand, pixels.*set box_unit"):
            self.unit(boxes, size)

    def test_boxes_outside_the_page_in_every_unit_are_refused(self) -> None:
        with pytest.raises(DataError, match=r"possible: none.*largest coordinate 5000"):
            self.unit([[100, 100, 5000, 2000]])

    def test_reversed_boxes_are_refused_if_there_are_many(self) -> None:
        good, bad = [0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.1, 0.1]
        assert self.unit([good] * 200 + [bad]) == "unit"
        with pytest.raises(DataError, match="10 of 60 boxes are reversed"):
            self.unit([good] * 50 + [bad] * 10)

    def test_values_that_are_no_boxes_count_as_unusable(self) -> None:
        with pytest.raises(DataError, match="3 of 3 boxes"):
            self.unit([[0.1, 0.2], [float("nan"), 0, 1, 1], [None, 0, 1, 1]])  # type: ignore[list-item]

    def test_a_split_without_boxes_has_no_unit(self) -> None:
        assert self.unit([]) is None

    def test_a_unit_set_in_the_configuration_is_verified(self, tmp_path: Path) -> None:
        boxes = [[100, 100, 200, 130], [100, 100, 300, 130], [300, 100, 700, 150]]
        rows = [docvqa_row(image=png(1000, 1000), bounding_boxes=boxes)]
        source = write_rows(tmp_path / "all.parquet", rows)
        download(parquet(source, box_unit="pixels"), "test", tmp_path / "test.parquet")
        known = about(tmp_path / "test.parquet")
        assert (known["box_unit"], known["box_unit_set_by"]) == ("pixels", "configuration")
        with pytest.raises(DataError, match="boxes are not in box_unit unit"):
            download(parquet(source, box_unit="unit"), "test", tmp_path / "test.parquet")

    @given(
        st.sampled_from(["unit", "thousand", "pixels"]),
        st.tuples(st.integers(1200, 4000), st.integers(1200, 4000)),
        st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)), max_size=20),
    )
    def test_the_unit_in_which_a_filled_page_was_written_is_found(
        self, unit: str, size: tuple[int, int], corners: list[tuple[float, float]]
    ) -> None:
        scale = {"unit": (1, 1), "thousand": (1000, 1000), "pixels": size}[unit]
        shares = [(x, y, x + 0.1, y + 0.1) for x, y in [*corners, (0.88, 0.88)]]
        boxes = [[value * scale[i % 2] for i, value in enumerate(box)] for box in shares]
        assert self.unit(boxes, size) == unit
        for box, share in zip(page_boxes(boxes, unit, size), shares, strict=True):
            assert box.as_tuple() == pytest.approx(share)
