"""Benchmarks are read as their authors lay them out; the files here are small ones like theirs."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from active_perception_r1.config import DatasetConfig, SliceConfig, load_config, parse_section
from active_perception_r1.config.sources._table import FORMATS as NAMES
from active_perception_r1.data import formats
from active_perception_r1.data.download import download
from active_perception_r1.data.formats import FORMATS
from active_perception_r1.data.questions import read_questions
from active_perception_r1.data.slices import as_sample, read_slice, sample_slice
from active_perception_r1.data.sources import READERS
from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.scoring.metrics import METRICS, Judged
from active_perception_r1.tasks import Judgement
from tests.docvqa_files import png
from tests.scripted import make_sample, run

REPOSITORY = Path(__file__).parent.parent
SIZE = (400, 200)


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def page(shade: int = 255) -> bytes:
    return png(*SIZE, shade=shade)


def in_base64(shade: int = 255) -> str:
    return base64.b64encode(page(shade)).decode()


def drawn(folder: Path, split: str, **keys: Any) -> list[Sample]:
    """The usable rows of a local snapshot, by id."""
    dataset = parse_section(DatasetConfig, json.dumps({"source": "hub", "id": str(folder), **keys}))
    made = folder.parent / "made"
    download(dataset, split, made / "split.parquet")
    sample_slice(made / "split.parquet", SliceConfig(), made / "slice.parquet")
    return sorted(read_slice(made / "slice.parquet"), key=lambda sample: sample.id)


def about(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder.parent / "made" / "split.json").read_text())
    return content


def left_out(folder: Path) -> dict[str, str]:
    content = json.loads((folder.parent / "made" / "slice.json").read_text())
    return {row["id"]: row["reason"] for row in content["left_out"]}


def repository(folder: Path, files: dict[str, list[dict[str, Any]]], config: str = "") -> Path:
    """A repository of parquet files, by split, as the hub's cards describe them."""
    folder.mkdir(parents=True)
    names = {split: f"data/{split}-00000-of-00001.parquet" for split in files}
    for split, rows in files.items():
        (folder / "data").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / names[split])
    if config:
        data = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in names.items())
        card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{data}---\n"
        (folder / "README.md").write_text(card)
    return folder


class TestVStar:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "vstar_bench"
        questions: dict[str, dict[str, Any]] = {
            "direct_attributes/sa_1": {
                "question": "What is the colour of the flag?",
                "options": ["The flag is red.", "It is blue.", "It is green.", "It is black."],
                "target_object": ["flag"],
                "bbox": [[40, 20, 20, 10]],
            },
            "direct_attributes/sa_2": {
                "question": "What is the man's hat made of?",
                "options": ["felt", "straw"],
                "target_object": ["hat"],
                "bbox": [[0, 0, 40, 20]],
            },
            "relative_position/sa_3": {
                "question": "Is the dog left of the cat?",
                "options": ["yes", "no"],
                "target_object": ["dog", "cat"],
                "bbox": [[40, 20, 20, 10], [200, 100, 40, 20]],
            },
        }
        for number, (name, content) in enumerate(questions.items()):
            path = folder / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
            path.with_suffix(".jpg").write_bytes(page(number))
        (folder / "test_questions.jsonl").write_text("{}\n")
        return folder

    def test_the_first_option_is_right_and_the_order_is_shuffled(self, folder: Path) -> None:
        first, second, third = drawn(folder, "test", format="vstar")
        assert first.id == "direct_attributes/sa_1"
        assert first.answers == ("The flag is red.",)
        assert sorted(first.options) == sorted(
            ["The flag is red.", "It is blue.", "It is green.", "It is black."]
        )
        assert second.answers == ("felt",)
        assert (third.layout, third.answers) == ("relative_position", ("yes",))

    def test_the_shuffle_is_one_of_the_seed_and_is_kept(self, folder: Path) -> None:
        orders = []
        for seed in range(4):
            (sample, *_) = drawn(folder, "test", format="vstar", option_seed=seed)
            (question, *_) = read_questions(folder.parent / "made" / "split.parquet")
            given = ["The flag is red.", "It is blue.", "It is green.", "It is black."]
            assert tuple(given[place] for place in question.option_order) == sample.options
            assert about(folder)["dataset"]["option_seed"] == seed
            orders.append(sample.options)
        assert len(set(orders)) > 1
        assert drawn(folder, "test", format="vstar", option_seed=3)[0].options == orders[3]

    def test_the_right_option_stands_in_every_place(self, folder: Path) -> None:
        """Whoever always says A is right as often as by chance."""
        (row,) = (folder / "direct_attributes").glob("sa_1.json")
        for number in range(100, 500):
            (row.parent / f"sa_{number}.json").write_bytes(row.read_bytes())
            (row.parent / f"sa_{number}.jpg").write_bytes(page())
        download(
            parse_section(
                DatasetConfig, json.dumps({"source": "hub", "id": str(folder), "format": "vstar"})
            ),
            "direct_attributes",
            folder.parent / "split.parquet",
        )
        places = Counter(
            question.option_order.index(0)
            for question in read_questions(folder.parent / "split.parquet")
            if len(question.options) == 4
        )
        assert min(places.values()) > 60
        assert set(places) == {0, 1, 2, 3}

    def test_boxes_are_corners_with_sizes_in_pixels_and_all_of_them_count(
        self, folder: Path
    ) -> None:
        *_, sample = drawn(folder, "test", format="vstar")
        assert sample.evidence == (
            Evidence("dog", Box(0.1, 0.1, 0.15, 0.15)),
            Evidence("cat", Box(0.5, 0.5, 0.6, 0.6)),
        )

    def test_a_category_is_a_split(self, folder: Path) -> None:
        (sample,) = drawn(folder, "relative_position", format="vstar")
        assert sample.id == "relative_position/sa_3"
        with pytest.raises(DataError, match="no split 'dev'; there are: test, direct_attributes"):
            drawn(folder, "dev", format="vstar")

    def test_source_and_citation_stand_beside_the_rows(self, folder: Path) -> None:
        drawn(folder, "test", format="vstar")
        assert about(folder)["about"]["url"].endswith("craigwu/vstar_bench")
        assert "CVPR 2024" in about(folder)["about"]["citation"]
        assert about(folder)["box_unit_set_by"] == "format"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("{", "sa_2.json: Expecting property name"),
            ("[]", "sa_2.json: "),
            ('{"question": "?"}', "sa_2.json has no 'options'"),
            ('{"question": "?", "options": ["x", "y"], "bbox": [[1, 2]]}', "is not a box of four"),
            ('{"question": "?", "options": ["a", "a"], "bbox": []}', "two options are the same"),
            ('{"question": "?", "options": [], "bbox": []}', "sa_2.json: "),
        ],
    )
    def test_a_bad_file_costs_itself_only(self, folder: Path, text: str, reason: str) -> None:
        (folder / "direct_attributes" / "sa_2.json").write_text(text)
        assert len(drawn(folder, "test", format="vstar")) == 2
        assert reason in left_out(folder)["direct_attributes/sa_2"]

    def test_a_folder_of_something_else_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        with pytest.raises(DataError, match=r"direct_attributes: no questions here"):
            drawn(tmp_path / "other", "test", format="vstar")


OPTIONS = {"A": "red", "B": "blue", "C": "green", "D": "black"}


class TestHrBench:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Two questions, each with the options in four orders."""
        rows = []
        texts = list(OPTIONS.values())
        for number in range(2):
            for turn in range(4):
                turned = texts[-turn:] + texts[:-turn] if turn else texts
                row = {
                    "index": 4 * number + turn,
                    "question": "What colour?",
                    "image": in_base64(number),
                    **dict(zip(OPTIONS, turned, strict=True)),
                    "answer": "ABCD"[turn],
                    "category": ["single", "cross"][number],
                    "cycle_category": f"cycle_{turn}",
                }
                rows.append(row)
        return repository(tmp_path / "HR-Bench", {"hrbench_4k": rows}, "hrbench_version_split")

    def test_letters_name_the_right_option_of_each_order(self, folder: Path) -> None:
        samples = drawn(folder, "hrbench_4k", config="hrbench_version_split", format="hr_bench")
        assert len(samples) == 8
        assert {sample.answers for sample in samples} == {("red",)}
        assert {sample.options.index("red") for sample in samples} == {0, 1, 2, 3}
        assert [sample.layout for sample in samples] == ["single"] * 4 + ["cross"] * 4
        assert [sample.cycle for sample in samples] == [f"cycle_{turn}" for turn in range(4)] * 2

    def test_the_orders_of_a_question_share_a_page(self, folder: Path) -> None:
        samples = drawn(folder, "hrbench_4k", config="hrbench_version_split", format="hr_bench")
        assert Counter(Counter(sample.doc_id for sample in samples).values()) == {4: 2}

    def test_a_table_of_the_same_columns_is_read_as_well(self, tmp_path: Path) -> None:
        head = ["index", "question", "image", *"ABCD", "answer", "category", "cycle_category"]
        row = ["0", "What colour?", in_base64(), *OPTIONS.values(), "C", "single", "cycle_2"]
        (tmp_path / "hr_bench_4k.tsv").write_text("\t".join(head) + "\n" + "\t".join(row) + "\n")
        entry = {"source": "file", "path": str(tmp_path / "hr_bench_4k.tsv"), "format": "hr_bench"}
        dataset = parse_section(DatasetConfig, json.dumps(entry))
        download(dataset, "any", tmp_path / "split.parquet")
        (question,) = read_questions(tmp_path / "split.parquet")
        assert question.answers == ("green",)

    def test_an_answer_that_is_no_letter_costs_its_row_only(self, tmp_path: Path) -> None:
        rows = [
            {"index": i, "question": "?", "image": in_base64(), **OPTIONS, "answer": answer}
            | {"category": "single", "cycle_category": "0"}
            for i, answer in enumerate(["A", "blue"])
        ]
        folder = repository(tmp_path / "HR-Bench", {"hrbench_4k": rows})
        assert len(drawn(folder, "hrbench_4k", format="hr_bench")) == 1
        assert left_out(folder) == {"1": "column answer: 'blue' is no letter of the 4 options"}


class TestTextVqaGt:
    def test_one_box_in_pixels_and_ten_answers(self, tmp_path: Path) -> None:
        row = {
            "image": {"bytes": page(), "path": None},
            "question": "What is written?",
            "answer": ["stop"] * 7 + ["halt"] * 3,
            "dataset_id": 34602,
            "bbox": [40.0, 20.0, 20.0, 10.0],
        }
        folder = repository(tmp_path / "TextVQA_GT_bbox", {"train": [row]})
        (sample,) = drawn(folder, "train", format="textvqa_gt")
        assert sample.id == "34602"
        assert sample.answers == ("stop",) * 7 + ("halt",) * 3
        assert sample.evidence == (Evidence("1", Box(0.1, 0.1, 0.15, 0.15)),)
        assert sample.requires_zoom


def ocr(**changes: Any) -> dict[str, Any]:
    """Words of a page, in the pixels of an image twice its size."""

    def word(text: str, x: int, y: int) -> dict[str, Any]:
        corners = [x, y, x + 80, y + 2, x + 80, y + 22, x - 2, y + 20]
        return {"bounding_box": corners, "text": text, "confidence": "High"}

    lines = [
        {
            "bounding_box": [0] * 8,
            "text": "Total 9.00",
            "words": [word("Total", 80, 40), word("9.00", 400, 40)],
        },
        {"bounding_box": [0] * 8, "text": "Thanks", "words": [word("Thanks", 80, 200)]},
    ]
    page = {"page": 1, "clockwise_orientation": 0.2, "width": 800, "height": 400, "unit": "pixel"}
    return {**page, "lines": lines, **changes}


class TestDocVqaOcr:
    def row(self, **changes: Any) -> dict[str, Any]:
        row = {
            "image": {"bytes": page(), "path": None},
            "question_id": 57349,
            "question": "What is the total?",
            "answers": ["9.00"],
            "data_split": "val",
            "ocr_results": ocr(),
        }
        return row | changes

    def test_evidence_is_found_among_the_words_of_the_ocr(self, tmp_path: Path) -> None:
        folder = repository(tmp_path / "docvqa", {"validation": [self.row()]})
        (sample,) = drawn(folder, "validation", format="docvqa_ocr")
        assert sample.id == "57349"
        assert sample.evidence[0].box.as_tuple() == pytest.approx((398 / 800, 0.1, 0.6, 62 / 400))

    def test_what_was_turned_or_cut_costs_its_row_only(self, tmp_path: Path) -> None:
        turned = self.row(question_id=1, ocr_results=ocr(width=400, height=800))
        folder = repository(tmp_path / "docvqa", {"validation": [self.row(), turned]})
        assert len(drawn(folder, "validation", format="docvqa_ocr")) == 1
        assert left_out(folder) == {
            "1": "column ocr_results: it is of a page of 400 x 800, but the page is 400 x 200:"
            " turned or cut"
        }

    def test_a_split_without_answers_says_so(self, tmp_path: Path) -> None:
        folder = repository(tmp_path / "docvqa", {"test": [self.row(answers=[])]})
        with pytest.raises(DataError, match=r"no row can be used: it has no answer \(1x\)"):
            drawn(folder, "test", format="docvqa_ocr")


class TestInfographicVqa:
    def row(self, ocr: str | None) -> dict[str, Any]:
        return {
            "questionId": "65718",
            "question": "How many?",
            "answers": ["42", "forty-two"],
            "answer_type": ["single span"],
            "image": {"bytes": page(), "path": None},
            "image_url": "https://example.org",
            "operation/reasoning": [],
            "ocr": ocr,
            "data_split": "val",
        }

    @pytest.mark.parametrize("form", ["by type", "list", "blocks"])
    def test_evidence_is_found_among_the_words_of_textract(self, tmp_path: Path, form: str) -> None:
        box = {"Width": 0.1, "Height": 0.05, "Left": 0.3, "Top": 0.2}
        word = {"BlockType": "WORD", "Text": "42", "Geometry": {"BoundingBox": box}}
        line = {**word, "BlockType": "LINE", "Text": "42 people"}
        forms: dict[str, Any] = {
            "by type": {"PAGE": [], "LINE": [line], "WORD": [word]},
            "list": [line, word],
            "blocks": {"Blocks": [line, word]},
        }
        rows = {"validation": [self.row(json.dumps(forms[form]))]}
        folder = repository(tmp_path / "DocVQA", rows, "InfographicVQA")
        (sample,) = drawn(folder, "validation", config="InfographicVQA", format="infographicvqa")
        assert sample.answers == ("42", "forty-two")
        assert sample.evidence[0].box.as_tuple() == pytest.approx((0.3, 0.2, 0.4, 0.25))

    @pytest.mark.parametrize("text", ["{", '"text"', '{"WORD": [{"Text": "x"}]}', '{"LINE": []}'])
    def test_words_that_cannot_be_read_cost_their_row_only(self, tmp_path: Path, text: str) -> None:
        good = {**self.row(None), "questionId": "1"}
        folder = repository(tmp_path / "DocVQA", {"validation": [self.row(text), good]})
        assert len(drawn(folder, "validation", format="infographicvqa")) == 1
        assert (
            left_out(folder)["65718"].startswith("column ocr: not ")
            or "a word without" in (left_out(folder)["65718"])
        )


class TestChartQa:
    def test_question_answer_and_who_asked(self, tmp_path: Path) -> None:
        row = {
            "type": "human_test",
            "question": "How many?",
            "answer": "14",
            "image": {"bytes": page(), "path": None},
        }
        folder = repository(tmp_path / "ChartQA", {"test": [row]})
        (sample,) = drawn(folder, "test", format="chartqa")
        assert (sample.answers, sample.layout, sample.evidence) == (("14",), "human_test", ())


class TestTreeBench:
    @pytest.mark.parametrize("boxes", ["[[40, 20, 60, 30], [200, 100, 240, 120]]", None])
    def test_boxes_are_a_list_written_as_text(self, tmp_path: Path, boxes: str | None) -> None:
        row = {
            "index": 3,
            "image": in_base64(),
            "question": "Which?",
            **OPTIONS,
            "answer": "D",
            "category": "Perception/Attributes",
            "target_instances": boxes,
            "hint": "",
        }
        folder = repository(tmp_path / "TreeBench", {"train": [row]})
        (sample,) = drawn(folder, "train", format="treebench")
        assert (sample.answers, sample.layout) == (("black",), "Perception/Attributes")
        assert [region.box for region in sample.evidence] == (
            [Box(0.1, 0.1, 0.15, 0.15), Box(0.5, 0.5, 0.6, 0.6)] if boxes else []
        )

    def test_a_column_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        folder = repository(tmp_path / "TreeBench", {"train": [{"index": 1, "picture": "x"}]})
        with pytest.raises(DataError, match=r"columns\.image: there is no column 'image'"):
            drawn(folder, "train", format="treebench")


def test_every_format_of_a_benchmark_has_a_study() -> None:
    studies = load_config(REPOSITORY / "workflow_config.yaml").studies.values()
    used = {study.dataset.layout for study in studies}
    assert used >= FORMATS.keys() - {"columns"}


def test_pages_of_several_questions_in_one_are_refused_at_the_door(tmp_path: Path) -> None:
    row = {"questionId": "1", "question": "?", "answers": "['a']", "image_1": None, "image_2": None}
    folder = repository(tmp_path / "MP-DocVQA", {"val": [row]})
    with pytest.raises(DataError, match="several pages in a question"):
        drawn(folder, "val", columns={"id": "questionId"})


def test_the_format_in_the_documentation_is_one_more_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n# \S+/street_signs\.py\n(.*?)^```$", text, re.M | re.S)
    (tmp_path / "street_signs.py").write_text(code)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    for registry in (FORMATS, NAMES):
        monkeypatch.setattr(registry, "_names", (*registry, "street_signs"))
    row = {
        "nr": 1,
        "photo": in_base64(),
        "question": "What does it say?",
        **dict(zip("abcd", OPTIONS.values(), strict=True)),
        "right": "C",
        "sign": [40, 20, 20, 10],
    }
    folder = repository(tmp_path / "signs", {"test": [row]})
    entry = {"source": "hub", "id": str(folder), "format": "street_signs"}
    split = READERS["hub"].open(parse_section(DatasetConfig, json.dumps(entry)), "test")
    (question,) = split.questions(0)
    sample = as_sample(question, split.box_unit)
    assert sample.answers == ("green",)
    assert sample.evidence == (Evidence("1", Box(0.1, 0.1, 0.15, 0.15)),)
    assert split.about.license == "CC-BY-4.0"


def test_a_question_is_right_in_all_orders_of_its_options_or_not_at_all() -> None:
    def judged(question: str, correct: bool, options: tuple[str, ...] = ("x", "y")) -> Judged:
        sample = replace(make_sample(), question=question, options=options)
        return Judged(sample, run(["<answer>A</answer>"]), "A", Judgement(0.0, correct), None)

    episodes = [
        judged("all", True),
        judged("one of two", True),
        judged("all", True),
        judged("once", True),
        judged("one of two", False),
        judged("free", True, ()),
        judged("free", True, ()),
    ]
    assert METRICS["circular"].values(episodes) == [1.0, 0.0, None, None, None, None, None]
