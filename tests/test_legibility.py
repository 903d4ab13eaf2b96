"""What another reader can read in the views that models get, and what follows from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from active_perception_r1.cli import main
from active_perception_r1.config import CropConfig, SliceConfig
from active_perception_r1.data import readings as readings_module
from active_perception_r1.data.legibility import (
    MAX_ASPECT,
    legible_in_crop,
    legible_in_view,
    says_answer,
)
from active_perception_r1.data.reader import RapidOcr, Word
from active_perception_r1.data.readings import Readings
from active_perception_r1.data.slices import grpo_data, read_slice, sample_slice, write_samples
from active_perception_r1.errors import DataError, UserError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.report.legibility_curve import draw
from active_perception_r1.scoring.legibility import CROP, FIRST_VIEW, measure, read_legibility
from tests.docvqa_files import docvqa_row, write_downloaded
from tests.reading import WORD, OneWord, page_with

HERE, ELSEWHERE = Box(0.5, 0.5, 0.75, 0.55), Box(0.1, 0.8, 0.3, 0.85)
SMALL = Box(0.5, 0.5, 0.6, 0.525)  # 10 pixels tall in a page of 400, 5 in one of 200
LARGE = Box(0.2, 0.2, 0.6, 0.4)
FULL, HALF = 400 * 400, 200 * 200


def words(*texts: str, box: Box = HERE) -> list[Word]:
    return [Word(text, box) for text in texts]


def sample(id: str, box: Box, **changes: Any) -> Sample:
    fields: dict[str, Any] = {
        "id": id,
        "doc_id": id,
        "image": page_with(box),
        "width": 400,
        "height": 400,
        "question": "What is the total?",
        "answers": (WORD,),
        "evidence": (Evidence("answer", box),),
        "requires_zoom": box is SMALL,
    }
    return Sample(**{**fields, **changes})


def row(id: str, box: Box, **changes: Any) -> dict[str, Any]:
    boxes = [[0.0, 0.0, 0.1, 0.05], list(box.as_tuple())]
    answer = {"start": 1, "matched_text": WORD, "text": WORD, "match_score": 1.0}
    texts = {"words": ["Total:", WORD], "bounding_boxes": boxes, "answer": answer}
    return docvqa_row(id, page_with(box), **{**texts, **changes})


class TestWhatIsLegible:
    @pytest.mark.parametrize(
        ("read", "answer", "legible"),
        [
            (["Total:", "9.00"], "9.00", True),
            (["9.0O"], "9.00", True),  # look-alikes are a habit of readers of text
            (["9.10"], "9.00", False),
            (["60123456788"], "60123456789", False),  # one digit in eleven is another number
            (["$9.00"], "9.00", True),
            (["1", "9.00"], "19.00", True),  # readers of text split words
            (["Gardenia", "Bakeries"], "GARDENIA BAKERIES", True),
            (["Gardenla", "Bakeries"], "GARDENIA BAKERIES", True),
            (["Gardenia", "Bakcr"], "GARDENIA BAKERIES", False),
            (["A4"], "4", False),
            ([], "9.00", False),
        ],
    )
    def test_a_number_is_read_exactly_and_of_a_text_nine_characters_in_ten(
        self, read: Sequence[str], answer: str, legible: bool
    ) -> None:
        assert says_answer(words(*read), [answer], [Evidence("answer", HERE)]) is legible

    def test_any_of_the_answers_is_enough(self) -> None:
        assert says_answer(words("nine"), ["9.00", "nine"])

    def test_the_same_text_elsewhere_does_not_count(self) -> None:
        read = words("9.00", box=ELSEWHERE)
        assert not says_answer(read, ["9.00"], [Evidence("answer", HERE)])
        assert says_answer(
            read, ["9.00"], [Evidence("answer", HERE), Evidence("answer", ELSEWHERE)]
        )

    def test_without_evidence_the_whole_text_counts(self) -> None:
        assert says_answer(words("9.00", box=ELSEWHERE), ["9.00"])


class TestViews:
    def test_they_are_the_ones_that_models_get(self, tmp_path: Path) -> None:
        with Readings(tmp_path / "kept", OneWord()) as readings:
            assert legible_in_view(readings, sample("small", SMALL), FULL)
            assert not legible_in_view(readings, sample("small", SMALL), HALF)
            assert legible_in_crop(readings, sample("small", SMALL), HALF)
            assert legible_in_view(readings, sample("large", LARGE), HALF)

    def test_a_word_in_a_crop_is_looked_for_where_it_is_on_the_page(self, tmp_path: Path) -> None:
        beside = (Evidence("answer", SMALL), Evidence("other", Box(0.7, 0.5, 0.8, 0.525)))
        with Readings(tmp_path / "kept", OneWord()) as readings:
            assert legible_in_crop(readings, sample("small", SMALL, evidence=beside), FULL)
            assert not legible_in_crop(readings, sample("small", SMALL, evidence=beside[1:]), FULL)

    def test_the_crop_is_as_flat_as_a_models_may_be_by_default(self) -> None:
        assert CropConfig(max_pixels=1).max_aspect == MAX_ASPECT


class TestReadings:
    def test_an_image_is_read_once_whoever_made_it(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (40, 40), "black")
        reader = OneWord()
        with Readings(tmp_path / "kept", reader) as readings:
            first = readings.words(image)
            assert readings.words(image.copy()) == first
        with Readings(tmp_path / "kept", reader) as readings:
            assert readings.words(image) == first == [Word(WORD, Box(0.0, 0.0, 1.0, 1.0))]
        assert reader.images == 1

    def test_images_of_the_same_bytes_and_another_shape_are_two(self, tmp_path: Path) -> None:
        reader = OneWord()
        with Readings(tmp_path / "kept", reader) as readings:
            readings.words(Image.new("RGB", (40, 20)))
            readings.words(Image.new("RGB", (20, 40)))
        assert reader.images == 2

    def test_another_version_of_the_reader_begins_anew(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (40, 40), "black")
        with Readings(tmp_path / "kept", OneWord()) as readings:
            readings.words(image)
        newer = OneWord("8.00")
        newer.revision = "one word, version 2"
        with Readings(tmp_path / "kept", newer) as readings:
            assert readings.words(image)[0].text == "8.00"


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    samples = [sample(f"small {number}", SMALL) for number in range(3)]
    samples += [sample(f"large {number}", LARGE) for number in range(2)]
    samples += [sample("nowhere", LARGE, evidence=(), answers=("seven",))]
    # Pages that differ, or the words of one would be those of all.
    pages = [
        page_with(one.evidence[0].box if one.evidence else LARGE, (400, 400 + number))
        for number, one in enumerate(samples)
    ]
    write_samples(
        tmp_path / "slice.parquet",
        [
            Sample(**{**{f: getattr(one, f) for f in one.__slots__}, "image": page})
            for one, page in zip(samples, pages, strict=True)
        ],
    )
    return tmp_path / "slice.parquet"


def use(reader: OneWord, monkeypatch: pytest.MonkeyPatch) -> OneWord:
    monkeypatch.setattr(readings_module, "RapidOcr", lambda: reader)
    return reader


class TestTheCommand:
    def run(self, slice_path: Path, output: Path) -> int:
        sizes = ["--budgets", str(HALF), str(FULL), "--crop-pixels", str(HALF)]
        return main(["legibility", "--slice", str(slice_path), *sizes, "--output", str(output)])

    def test_it_prints_a_table_and_writes_shares_questions_and_a_figure(
        self,
        slice_path: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        use(OneWord(), monkeypatch)
        output = tmp_path / "found" / "legibility.json"
        assert self.run(slice_path, output) == 0
        table = [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in capsys.readouterr().out.splitlines()
        ]
        assert [line[:4] for line in table[2:]] == [
            [FIRST_VIEW, "40,000", "6", "0.333"],
            [FIRST_VIEW, "160,000", "6", "0.833"],
            [CROP, "40,000", "5", "1.000"],
        ]
        first = read_legibility(output)[0]
        assert first.ci_low is not None
        assert first.ci_high is not None
        assert 0 < first.ci_low < 1 / 3 < first.ci_high < 1
        assert (first.n_requires_zoom, first.legible_requires_zoom) == (3, 0.0)
        assert (first.n_no_zoom, first.legible_no_zoom) == (3, pytest.approx(2 / 3))
        found = json.loads(output.read_text())
        assert found["reader"] == OneWord.revision
        assert found["questions"][-1] == {
            "id": "nowhere",
            "doc_id": "nowhere",
            "requires_zoom": False,
            "legible": {
                FIRST_VIEW: {"40000": False, "160000": False},
                CROP: {"40000": None},
            },
        }
        assert "<svg" in output.with_suffix(".svg").read_text()

    def test_killed_it_goes_on_without_reading_an_image_again(
        self, slice_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = use(OneWord(), monkeypatch)
        assert self.run(slice_path, tmp_path / "whole.json") == 0
        killed = use(OneWord(most=7), monkeypatch)
        assert self.run(slice_path, tmp_path / "killed.json") == 130
        assert not (tmp_path / "killed.json").exists()
        rest = use(OneWord(), monkeypatch)
        assert self.run(slice_path, tmp_path / "killed.json") == 0
        assert killed.images + rest.images == whole.images
        assert (tmp_path / "killed.json").read_text() == (tmp_path / "whole.json").read_text()

    def test_the_figure_has_a_line_for_the_crop_if_there_is_one(
        self, slice_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(OneWord(), monkeypatch)
        rows = measure(slice_path, [HALF], tmp_path / "out.json")
        draw(rows, tmp_path / "one.svg")
        draw([row for row in rows if row.view == FIRST_VIEW], tmp_path / "other.svg")
        assert (tmp_path / "one.svg").read_bytes() != (tmp_path / "other.svg").read_bytes()

    def test_without_the_reader_it_says_how_to_install_it(
        self,
        slice_path: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        with pytest.raises(UserError, match="rapidocr"):
            RapidOcr()
        assert self.run(slice_path, tmp_path / "out.json") == 1
        told = capsys.readouterr().err
        assert "run: pip install 'active-perception-r1[legibility]'" in told
        assert len(told.splitlines()) == 1

    @pytest.mark.parametrize("budget", ["0", "-1", "many", "1.5"])
    def test_a_budget_is_a_whole_number(
        self, budget: str, slice_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main(["legibility", "--slice", str(slice_path), "--budgets", budget, "--output", "o"])
        assert "whole number above 0" in capsys.readouterr().err

    def test_another_file_is_no_legibility(self, tmp_path: Path) -> None:
        (tmp_path / "other.json").write_text("{}")
        with pytest.raises(DataError, match="other.json: not what `legibility` wrote"):
            read_legibility(tmp_path / "other.json")


class TestWhichQuestionsNeedAZoom:
    by_reading = SliceConfig(samples=99, requires_zoom="legibility", legible_pixels=HALF)

    def draw(
        self, folder: Path, rows: list[dict[str, Any]], unit: str | None = "unit"
    ) -> tuple[dict[str, bool], dict[str, Any]]:
        dataset = write_downloaded(folder / "split.parquet", rows, unit)
        sample_slice(dataset, self.by_reading, folder / "slice.parquet")
        drawn = read_slice(folder / "slice.parquet")
        about = json.loads((folder / "slice.json").read_text())["requires_zoom"]
        return {one.id: one.requires_zoom for one in drawn}, about

    def test_those_that_are_legible_only_from_nearer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(OneWord(), monkeypatch)
        needed, about = self.draw(tmp_path, [row("small", SMALL), row("large", LARGE)])
        assert needed == {"small": True, "large": False}
        assert about == {
            "requires_zoom": "legibility",
            "legible_pixels": HALF,
            "decided_by": {"legible only from nearer": 1, "legible in the first view": 1},
        }

    def test_without_evidence_the_page_at_its_own_size_stands_for_the_crop(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(OneWord(), monkeypatch)
        needed, _ = self.draw(tmp_path, [row("small", SMALL), row("large", LARGE)], unit=None)
        assert needed == {"small": True, "large": False}

    def test_where_the_reader_reads_it_nowhere_the_area_decides(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(OneWord("something else"), monkeypatch)
        needed, about = self.draw(tmp_path, [row("small", SMALL), row("large", LARGE)])
        assert needed == {"small": True, "large": False}
        assert about["decided_by"] == {"area of the evidence": 2}

    def test_what_the_dataset_says_wins_and_costs_no_reading(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader = use(OneWord(), monkeypatch)
        rows = [row("small", SMALL, requires_zoom=False), row("large", LARGE, requires_zoom=True)]
        needed, about = self.draw(tmp_path, rows)
        assert needed == {"small": False, "large": True}
        assert about["decided_by"] == {"dataset": 2}
        assert reader.images == 0

    def test_training_data_are_decided_alike(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(OneWord(), monkeypatch)
        evaluated = write_downloaded(tmp_path / "test.parquet", [docvqa_row("evaluated")])
        sample_slice(evaluated, SliceConfig(), tmp_path / "slice.parquet")
        train = write_downloaded(tmp_path / "train.parquet", [row("a", SMALL), row("b", LARGE)])
        output = tmp_path / "data.parquet"
        grpo_data(train, tmp_path / "slice.parquet", 9, 0, output, self.by_reading)
        assert {one.id: one.requires_zoom for one in read_slice(output)} == {"a": True, "b": False}

    def test_a_draw_that_is_killed_goes_on_without_reading_an_image_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = [row(f"{number}", SMALL) for number in range(3)]
        for number, made in enumerate(rows):
            made["image"]["bytes"] = page_with(SMALL, (400, 400 + number))
        killed = use(OneWord(most=3), monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            self.draw(tmp_path, rows)
        rest = use(OneWord(), monkeypatch)
        assert set(self.draw(tmp_path, rows)[0].values()) == {True}
        assert killed.images + rest.images == 6

    def test_by_default_nobody_reads_and_nothing_is_said(self, tmp_path: Path) -> None:
        dataset = write_downloaded(tmp_path / "split.parquet", [row("small", SMALL)])
        sample_slice(dataset, SliceConfig(), tmp_path / "slice.parquet")
        assert "requires_zoom" not in json.loads((tmp_path / "slice.json").read_text())
