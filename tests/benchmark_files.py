"""Pages of the demo's kind, laid out as each benchmark lays out its own.

python -m tests.benchmark_files FOLDER    writes them, stand-ins for two families of models, and a
                                          configuration, for `make benchmarks-smoke`
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from active_perception_r1.config import load_config
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.questions import Question
from active_perception_r1.data.sources import READERS
from active_perception_r1.data.synthetic import PAGE_SIDE
from tests.families import build

Row = dict[str, Any]
LETTERS = "ABCD"
QUESTIONS = 6


def pages(count: int) -> list[Question]:
    """Questions about as many pages, each with the word that answers it."""
    dataset = SyntheticDataset(source="synthetic", questions={"all": count})
    return list(READERS["synthetic"].open(dataset, "all").questions(0))


def write_benchmark(study: str, folder: Path, asked: Sequence[Question]) -> Path:
    """A snapshot of the repository that a shipped study reads, with these questions."""
    if study == "vstar":
        return _write_vstar(folder, asked)
    chosen = load_config(Path("workflow_config.yaml")).studies[study]
    rows = [row for question in asked for row in ROWS[str(chosen.dataset.layout)](question)]
    return write_repository(
        folder, {chosen.slice.split: rows}, chosen.dataset.model_dump()["config"]
    )


def write_repository(
    folder: Path, splits: Mapping[str, Sequence[Row]], config: str | None = None
) -> Path:
    """A repository of parquet files, described as the hub's pages do it."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    names = {split: f"data/{split}-00000-of-00001.parquet" for split in splits}
    for split, rows in splits.items():
        pq.write_table(pa.Table.from_pylist(list(rows)), folder / names[split])
    if config:
        data = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in names.items())
        card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{data}---\n"
        (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def _write_vstar(folder: Path, asked: Sequence[Question]) -> Path:
    for number, question in enumerate(asked):
        name = f"{('direct_attributes', 'relative_position')[number % 2]}/sa_{number}"
        content = {
            "question": question.question,
            "options": options_of(question),
            "target_object": ["value"],
            "bbox": [box_of_answer(question)],
        }
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        path.with_suffix(".jpg").write_bytes(question.image)
    return folder


def _hr_bench(asked: Question) -> list[Row]:
    options = options_of(asked)
    return [
        {
            "index": f"{asked.id}-{turn}",
            "question": asked.question,
            "image": _in_base64(asked),
            **dict(zip(LETTERS, [*options[-turn:], *options[:-turn]], strict=True)),
            "answer": LETTERS[turn % 4],
            "category": "single",
            "cycle_category": f"cycle_{turn}",
        }
        for turn in range(1, 5)
    ]


def _textvqa_gt(asked: Question) -> list[Row]:
    row = {
        "image": _image(asked),
        "question": asked.question,
        "answer": [*asked.answers] * 10,
        "dataset_id": asked.id,
        "bbox": box_of_answer(asked),
    }
    return [row]


def _infographicvqa(asked: Question) -> list[Row]:
    words = []
    for word, (x0, y0, x1, y1) in zip(asked.words, asked.word_boxes, strict=True):
        box = {"Left": x0, "Top": y0, "Width": x1 - x0, "Height": y1 - y0}
        words.append({"BlockType": "WORD", "Text": word, "Geometry": {"BoundingBox": box}})
    row = {
        "questionId": asked.id,
        "question": asked.question,
        "answers": [*asked.answers],
        "answer_type": ["single span"],
        "image": _image(asked),
        "ocr": json.dumps({"PAGE": [], "LINE": [], "WORD": words}),
    }
    return [row]


def _docvqa_ocr(asked: Question) -> list[Row]:
    words = []
    for word, box in zip(asked.words, asked.word_boxes, strict=True):
        x0, y0, x1, y1 = (round(PAGE_SIDE * side) for side in box)
        corners = [x0, y0, x1, y0, x1, y1, x0, y1]
        words.append({"bounding_box": corners, "text": word, "confidence": "High"})
    page = {"page": 1, "clockwise_orientation": 0.0, "unit": "pixel"}
    row = {
        "image": _image(asked),
        "question_id": asked.id,
        "question": asked.question,
        "answers": [*asked.answers],
        "ocr_results": {
            **page,
            "width": PAGE_SIDE,
            "height": PAGE_SIDE,
            "lines": [{"words": words}],
        },
    }
    return [row]


def _chartqa(asked: Question) -> list[Row]:
    row = {
        "type": "human_test",
        "question": asked.question,
        "answer": asked.answers[0],
        "image": _image(asked),
    }
    return [row]


def _treebench(asked: Question) -> list[Row]:
    x, y, width, height = box_of_answer(asked)
    row = {
        "index": asked.id,
        "image": _in_base64(asked),
        "question": asked.question,
        **dict(zip(LETTERS, options_of(asked), strict=True)),
        "answer": "A",
        "category": "Perception/OCR",
        "target_instances": str([[x, y, x + width, y + height]]),
    }
    return [row]


ROWS: Mapping[str, Callable[[Question], list[Row]]] = {
    "chartqa": _chartqa,
    "docvqa_ocr": _docvqa_ocr,
    "hr_bench": _hr_bench,
    "infographicvqa": _infographicvqa,
    "textvqa_gt": _textvqa_gt,
    "treebench": _treebench,
}
STUDIES = (
    "vstar",
    "hr_bench_4k",
    "hr_bench_8k",
    "textvqa_gt",
    "infographicvqa",
    "docvqa_ocr",
    "chartqa",
    "treebench",
)


def options_of(asked: Question) -> list[str]:
    """The right one first."""
    value = int(asked.answers[0])
    return [str(value), *(str(10 + (value + step) % 90) for step in (7, 31, 58))]


def box_of_answer(asked: Question) -> list[float]:
    """x, y, width, height in pixels."""
    assert asked.span is not None
    x0, y0, x1, y1 = (PAGE_SIDE * side for side in asked.word_boxes[asked.span.start])
    return [x0, y0, x1 - x0, y1 - y0]


def _image(asked: Question) -> Row:
    return {"bytes": asked.image, "path": None}


def _in_base64(asked: Question) -> str:
    return base64.b64encode(asked.image).decode()


def main(folder: Path) -> None:
    """The shipped studies of benchmarks, with these files and small stand-ins for the models."""
    shipped = load_config(Path("workflow_config.yaml")).studies
    asked = pages(QUESTIONS)
    models = {
        name: build(family, folder / name)
        for name, family in (("qwen2.5-vl-3b", "qwen2_5_vl"), ("qwen3-vl-4b", "qwen3_vl"))
    }
    studies = {}
    for name in STUDIES:
        entry = shipped[name].model_dump(mode="json", exclude_defaults=True)
        repository = write_benchmark(name, folder / "data" / name, asked)
        entry["dataset"] |= {"source": "hub", "id": str(repository)}
        studies[f"{name}-smoke"] = {**entry, "models": list(models)}
    config = {"study": f"{STUDIES[0]}-smoke", "studies": studies, "models": models}
    (folder / "config.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
