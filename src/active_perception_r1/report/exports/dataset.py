"""The questions of a study as a dataset of the Hugging Face Hub, with its card.

One parquet file in which pages are images, as `datasets` and the Hub's viewer read them, and a
`README.md` whose first lines say where it is (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from huggingface_hub import DatasetCardData

from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.samples import as_row, read_slice, slice_length
from active_perception_r1.report.exports import Export
from active_perception_r1.report.exports._card import as_card
from active_perception_r1.report.finished import FinishedStudy
from active_perception_r1.storage.files import atomic
from active_perception_r1.storage.rows import RowWriter

OWN_LICENSE = "apache-2.0"
_BOUNDS = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def write(study: FinishedStudy, folder: Path) -> Iterator[Path]:
    source = study.answers.slice_file
    table = folder / "data" / f"{source.stem}.parquet"
    table.parent.mkdir(exist_ok=True)
    schema = _schema()
    with atomic(table) as part, RowWriter(part, schema) as writer:
        for sample in read_slice(source):
            row = as_row(sample) | {"image": {"bytes": sample.image, "path": None}}
            writer.add({name: row[name] for name in schema.names})
    yield table
    with atomic(folder / "README.md") as part:
        part.write_text(_card(study, slice_length(source)), encoding="utf-8")
    yield folder / "README.md"


def _schema() -> pa.Schema:
    """With the notes by which `datasets` knows that a column holds images."""
    from datasets import Features, Image, List, Value

    numbers = {name: Value("float64") for name in ("x0", "y0", "x1", "y1", "weight")}
    features = Features(
        {
            "id": Value("string"),
            "doc_id": Value("string"),
            "image": Image(),
            "question": Value("string"),
            "answers": List(Value("string")),
            "evidence": List({"label": Value("string"), **numbers}),
            "requires_zoom": Value("bool"),
            "layout": Value("string"),
            "options": List(Value("string")),
        }
    )
    return features.arrow_schema


def _card(study: FinishedStudy, questions: int) -> str:
    plan, about = study.plan, study.manifest.get("dataset") or {}
    split, drawn = plan.study.slice.split, isinstance(plan.study.dataset, SyntheticDataset)
    data = DatasetCardData(
        license=OWN_LICENSE if drawn else "other",
        task_categories=["visual-question-answering"],
        size_categories=next((name for most, name in _BOUNDS if questions < most), "n>100K"),
        pretty_name=f"Questions of study {plan.name}",
        tags=["active-perception"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}.parquet"}],
            }
        ],
    )
    pages = (
        "The pages are drawn by Active-Perception-R1: forms, tables and charts with random values."
        if drawn
        else f"The pages are of {about.get('url') or plan.study.dataset.name}, licence:"
        f" {about.get('license') or 'see there'}. {about.get('citation', '')}".rstrip()
    )
    text = f"""\
# Questions of study {plan.name}

{questions} questions about pages, drawn with seed {plan.study.slice.seed} from split `{split}`.
{pages}

| Column | Meaning |
|---|---|
| `id`, `doc_id` | name the question and its page |
| `image` | the page, as it came |
| `question`, `answers` | what is asked, and every accepted answer |
| `options` | what may be chosen from; empty where the answer is open |
| `evidence` | where the answer stands: boxes in fractions of the page, with a name and a weight |
| `requires_zoom` | whether the question is taken to need a closer look |
| `layout` | kind of page, where it is known |

Of the study with the digest `{study.manifest["digest"]}`.
"""
    return as_card(data, text)


EXPORT = Export("its questions as a dataset of the Hugging Face Hub", write)
