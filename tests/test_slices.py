"""A slice is the same questions for everyone, and training never sees its pages."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from active_perception_r1.config import SliceConfig
from active_perception_r1.data.slices import (
    grpo_data,
    read_slice,
    sample_slice,
    slice_length,
    write_samples,
)
from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from tests.docvqa_files import bomb, docvqa_row, encoded, png, rotated_jpeg, write_downloaded
from tests.strategies import evidence_sets

BLANK = Image.new("L", (60, 80), 255)
TWO_PAGES = encoded(BLANK, "TIFF", save_all=True, append_images=[BLANK])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def draw(
    folder: Path, rows: list[dict[str, Any]], samples: int = 99, seed: int = 0
) -> list[Sample]:
    dataset = write_downloaded(folder / "dataset" / "test.parquet", rows)
    sample_slice(
        dataset, SliceConfig(samples=samples, seed=seed), folder / "slice" / "test.parquet"
    )
    return list(read_slice(folder / "slice" / "test.parquet"))


def ids(samples: list[Sample]) -> list[str]:
    return [sample.id for sample in samples]


def record(folder: Path, name: str = "slice/test.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


class TestTheDraw:
    rows: ClassVar = [docvqa_row(f"q{i}") for i in range(20)]

    def test_the_same_seed_draws_the_same_questions(self, folder: Path) -> None:
        assert ids(draw(folder, self.rows, 5)) == ids(draw(folder, self.rows, 5))

    def test_another_seed_draws_others(self, folder: Path) -> None:
        assert ids(draw(folder, self.rows, 5)) != ids(draw(folder, self.rows, 5, seed=1))

    def test_the_order_of_rows_does_not_matter(self, folder: Path) -> None:
        assert ids(draw(folder, self.rows, 5)) == ids(draw(folder, self.rows[::-1], 5))

    def test_a_larger_draw_begins_with_the_smaller_one(self, folder: Path) -> None:
        assert ids(draw(folder, self.rows, 12))[:5] == ids(draw(folder, self.rows, 5))

    def test_added_rows_do_not_reshuffle_the_others(self, folder: Path) -> None:
        more = draw(folder, [*self.rows, *(docvqa_row(f"new{i}") for i in range(20))], 40)
        kept = [id for id in ids(more) if not id.startswith("new")]
        assert kept == ids(draw(folder, self.rows))

    def test_fewer_usable_rows_than_asked_for_are_all_taken_and_that_is_said(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert len(draw(folder, self.rows, 30)) == 20
        assert (record(folder)["asked"], record(folder)["taken"]) == (30, 20)
        assert "30 samples asked for, 20 can be used" in capsys.readouterr().err


class TestBadRows:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"answers": []}, "it has no answer"),
            ({"answers": ["", "  "]}, "it has no answer"),
            ({"query": {"en": None, "de": "Wie viel?"}}, "it has no question in English"),
            ({"image": {"bytes": None, "path": None}}, "it has no image"),
            ({"image": {"bytes": None, "path": "lost.png"}}, "column image: no file 'lost.png'"),
            ({"answers": {"text": "9.00"}}, "column answers: a struct where a text should be"),
            ({"requires_zoom": "perhaps"}, "column requires_zoom: 'perhaps' is neither true nor"),
            ({"image": {"bytes": b"not an image", "path": None}}, "it is of no known format"),
            ({"image": {"bytes": png()[:-30], "path": None}}, "cannot be decoded"),
            ({"image": {"bytes": bomb(), "path": None}}, "pixels"),
            ({"image": {"bytes": TWO_PAGES, "path": None}}, "several pages or frames"),
            ({"words": ["only", "two"]}, "2 words but 3 boxes"),
            (
                {"bounding_boxes": [[0.5, 0.5, 0.1, 0.1], [0, 0, 1, 1], [0, 0, 1, 1]]},
                "box of word 0 is not a box",
            ),
            (
                {"bounding_boxes": [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 3, 1]]},
                "box of word 2 is outside the page",
            ),
        ],
    )
    def test_a_bad_row_is_left_out_by_name_and_the_next_takes_its_place(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        changes: dict[str, Any],
        reason: str,
    ) -> None:
        good = [docvqa_row(f"q{i}") for i in range(6)]
        order = ids(draw(folder, good))
        spoilt = [{**row, **changes} if row["id"] == order[0] else row for row in good]
        # The question is part of a row's place in the order; keep the bad row in front.
        if "query" not in changes:
            assert ids(draw(folder, spoilt, 5)) == order[1:]
        else:
            assert sorted(ids(draw(folder, spoilt, 6))) == sorted(order[1:])
        (left_out,) = record(folder)["left_out"]
        assert left_out["id"] == order[0]
        assert reason in left_out["reason"]
        warning = capsys.readouterr().err.splitlines()[-1]
        assert f"1 rows left out, first '{order[0]}'" in warning

    @pytest.mark.parametrize(
        "changes",
        [
            {"query": {"en": "\ud83d"}},
            {"answers": ["9.00", "\ud83d"]},
            {"words": ["\ud83d", "total:", "9.00"]},
            {"doc_id": "\udcff"},
        ],
    )
    def test_text_that_no_file_can_hold_costs_its_row_only(
        self, folder: Path, changes: dict[str, Any]
    ) -> None:
        rows = [docvqa_row("good"), docvqa_row("bad", **changes)]
        assert ids(draw(folder, rows)) == ["good"]
        (left_out,) = record(folder)["left_out"]
        assert left_out["id"] == "bad"
        assert left_out["reason"].startswith(f"column {next(iter(changes))}")
        assert "it holds half of a surrogate pair" in left_out["reason"]

    def test_an_id_that_occurs_twice_is_used_once(self, folder: Path) -> None:
        samples = draw(folder, [docvqa_row("q"), docvqa_row("q", answers=["other"])])
        assert ids(samples) == ["q"]
        assert record(folder)["left_out"] == [{"id": "q", "reason": "its id occurs twice"}]

    def test_no_usable_row_at_all_is_an_error_that_says_why(self, folder: Path) -> None:
        rows: ClassVar = [docvqa_row(f"q{i}", answers=[]) for i in range(3)]
        with pytest.raises(DataError, match=r"no row can be used: it has no answer \(3x\)"):
            draw(folder, rows)
        assert not (folder / "slice" / "test.parquet").exists()

    def test_a_split_that_was_not_downloaded_is_named(self, folder: Path) -> None:
        with pytest.raises(DataError, match=r"test.json: no such file"):
            sample_slice(folder / "test.parquet", SliceConfig(), folder / "out.parquet")


class TestSamples:
    def test_the_page_size_is_that_of_the_displayed_page(self, folder: Path) -> None:
        (sample,) = draw(folder, [docvqa_row(image=rotated_jpeg(90, 40))])
        assert (sample.width, sample.height) == (40, 90)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
    def test_pages_of_any_mode_are_usable_and_kept_as_encoded(
        self, folder: Path, mode: str
    ) -> None:
        image = _png_of_mode(mode)
        (sample,) = draw(folder, [docvqa_row(image=image)])
        assert sample.image == image

    def test_evidence_is_the_word_of_the_answer(self, folder: Path) -> None:
        (sample,) = draw(folder, [docvqa_row()])
        assert sample.evidence == (Evidence("answer", Box(0.6, 0.1, 0.95, 0.15)),)

    def test_boxes_are_read_in_the_unit_of_the_split(self, folder: Path) -> None:
        boxes = [[6, 8, 12, 12], [18, 8, 30, 12], [36, 8, 57, 12]]
        row = docvqa_row(image=png(60, 80), bounding_boxes=boxes)
        dataset = write_downloaded(folder / "test.parquet", [row], unit="pixels")
        sample_slice(dataset, SliceConfig(), folder / "out.parquet")
        (sample,) = read_slice(folder / "out.parquet")
        assert sample.evidence[0].box.as_tuple() == pytest.approx((0.6, 0.1, 0.95, 0.15))

    def test_a_row_without_evidence_is_kept_and_counted(self, folder: Path) -> None:
        (sample,) = draw(folder, [docvqa_row(answers=["illegible"], answer=None)])
        assert sample.evidence == ()
        assert not sample.requires_zoom
        assert record(folder)["with_evidence"] == 0

    def test_a_split_without_boxes_gives_samples_without_evidence(self, folder: Path) -> None:
        row = docvqa_row(bounding_boxes=None)
        dataset = write_downloaded(folder / "test.parquet", [row], unit=None)
        sample_slice(dataset, SliceConfig(), folder / "out.parquet")
        assert next(read_slice(folder / "out.parquet")).evidence == ()

    def test_an_exact_span_excludes_the_same_text_elsewhere(self, folder: Path) -> None:
        row = docvqa_row(words=["9.00", "total:", "9.00"])
        (first_match,) = draw(folder, [row])
        (exact,) = draw(folder, [{**row, "exact_span": True}])
        assert len(first_match.evidence) == 2
        assert len(exact.evidence) == 1

    def test_a_zoom_is_required_where_evidence_is_small_unless_the_row_says_otherwise(
        self, folder: Path
    ) -> None:
        large = [[0.0, 0.0, 0.1, 0.1], [0.0, 0.1, 0.1, 0.2], [0.1, 0.1, 0.9, 0.9]]
        samples = draw(
            folder,
            [
                docvqa_row("small", requires_zoom=None),
                docvqa_row("large", requires_zoom=None, bounding_boxes=large),
                docvqa_row("told", requires_zoom=False),
            ],
        )
        told = {sample.id: sample.requires_zoom for sample in samples}
        assert told == {"small": True, "large": False, "told": False}

    def test_questions_on_one_page_share_its_id(self, folder: Path) -> None:
        rows: ClassVar = [docvqa_row("a"), docvqa_row("b"), docvqa_row("c", image=png(shade=9))]
        pages = {sample.id: sample.doc_id for sample in draw(folder, rows)}
        assert pages["a"] == pages["b"] != pages["c"]

    def test_optional_columns_are_used_where_present(self, folder: Path) -> None:
        (sample,) = draw(folder, [docvqa_row(doc_id="receipt 7", layout="receipt")])
        assert (sample.doc_id, sample.layout) == ("receipt 7", "receipt")


class TestTrainingData:
    @pytest.fixture
    def one_file(self, folder: Path) -> Path:
        """Ten pages with two questions each, as one file that serves every split."""
        rows = [
            docvqa_row(f"q{page}{part}", image=png(shade=page))
            for page in range(10)
            for part in "ab"
        ]
        draw(folder, rows, 4)
        return folder / "dataset" / "test.parquet"

    def test_it_shares_no_page_with_the_evaluation_slice(
        self, folder: Path, one_file: Path
    ) -> None:
        evaluation = folder / "slice" / "test.parquet"
        grpo_data(one_file, evaluation, 99, 0, folder / "training" / "data.parquet")
        evaluated = {sample.doc_id for sample in read_slice(evaluation)}
        trained = {sample.doc_id for sample in read_slice(folder / "training" / "data.parquet")}
        assert trained
        assert trained.isdisjoint(evaluated)
        assert len(trained) + len(evaluated) == 10
        written = record(folder, "training/data.json")
        assert written["left_out_as_on_evaluated_page"] == 2 * len(evaluated)

    def test_the_same_image_under_another_name_is_the_same_page(self, folder: Path) -> None:
        draw(folder, [docvqa_row("q", doc_id="page 1")])
        other = [docvqa_row("r", doc_id="page 2"), docvqa_row("s", doc_id="s", image=png(shade=1))]
        train = write_downloaded(folder / "train.parquet", other)
        grpo_data(train, folder / "slice" / "test.parquet", 9, 0, folder / "data.parquet")
        assert ids(list(read_slice(folder / "data.parquet"))) == ["s"]

    def test_training_data_without_evidence_say_that_no_zoom_will_be_relevant(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        draw(folder, [docvqa_row("q")])
        bare = docvqa_row("r", image=png(shade=1), answers=["illegible"], answer=None)
        train = write_downloaded(folder / "train.parquet", [bare])
        grpo_data(train, folder / "slice" / "test.parquet", 1, 0, folder / "data.parquet")
        assert "no question has evidence, so the relevance of every zoom" in capsys.readouterr().err

    def test_nothing_left_to_train_on_is_an_error(self, folder: Path) -> None:
        draw(folder, [docvqa_row("q")])
        with pytest.raises(DataError, match="its page is in the evaluation slice"):
            grpo_data(
                folder / "dataset" / "test.parquet",
                folder / "slice" / "test.parquet",
                9,
                0,
                folder / "data.parquet",
            )


class TestSliceFiles:
    @pytest.mark.slow
    @given(
        st.lists(
            st.builds(
                Sample,
                id=st.text(max_size=5),
                doc_id=st.text(max_size=5),
                image=st.binary(max_size=9),
                width=st.integers(1, 9999),
                height=st.integers(1, 9999),
                question=st.text(max_size=9),
                answers=st.lists(st.text(max_size=5), min_size=1, max_size=3).map(tuple),
                evidence=evidence_sets(),
                requires_zoom=st.booleans(),
                layout=st.text(max_size=5),
                options=st.lists(st.text(max_size=5), max_size=3).map(tuple),
            ),
            max_size=20,
        )
    )
    def test_samples_are_read_as_they_were_written(
        self, tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]
    ) -> None:
        path = tmp_path_factory.mktemp("slice") / "test.parquet"
        write_samples(path, samples)
        assert list(read_slice(path)) == samples
        assert slice_length(path) == len(samples)

    def test_a_failing_source_of_samples_leaves_the_earlier_file(self, folder: Path) -> None:
        (sample,) = draw(folder, [docvqa_row()])
        path = folder / "slice" / "test.parquet"

        def failing() -> Iterator[Sample]:
            yield sample
            raise RuntimeError

        with pytest.raises(RuntimeError):
            write_samples(path, failing())
        assert list(read_slice(path)) == [sample]
        assert sorted(file.name for file in path.parent.iterdir()) == ["test.json", "test.parquet"]

    def test_a_file_that_is_no_slice_is_refused(self, folder: Path) -> None:
        dataset = write_downloaded(folder / "test.parquet", [docvqa_row()])
        with pytest.raises(DataError, match="not a slice file; it lacks"):
            next(read_slice(dataset))

    def test_reading_does_not_hold_the_file_in_memory(self, folder: Path) -> None:
        draw(folder, [docvqa_row(f"q{i}") for i in range(30)])
        file = pq.ParquetFile(folder / "slice" / "test.parquet")
        assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) <= 8


def _png_of_mode(mode: str) -> bytes:
    encoded = io.BytesIO()
    Image.new(mode, (30, 40)).save(encoded, "PNG")
    return encoded.getvalue()
