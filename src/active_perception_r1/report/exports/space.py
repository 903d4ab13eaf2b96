"""A static site of a study, which is a Space of the Hugging Face Hub: page, gallery and tables.

Nothing in it runs on a server or is loaded from elsewhere, so every host of files serves it, and it
opens from a disk as well. As a Space it is one by the first lines of its `README.md`
(https://huggingface.co/docs/hub/spaces-sdks-static).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import SpaceCardData

from active_perception_r1.config.sources.hub import HubDataset
from active_perception_r1.errors import DataError
from active_perception_r1.report.exports import Export
from active_perception_r1.report.exports._card import as_card
from active_perception_r1.report.figures import drawn_of
from active_perception_r1.report.finished import FinishedStudy
from active_perception_r1.report.page.findings import findings
from active_perception_r1.report.page.page import training_gallery, write_page
from active_perception_r1.scoring.diagnosis_row import read_diagnosis
from active_perception_r1.storage.files import atomic, atomic_folder

TABLES = (
    *(f"leaderboard.{suffix}" for suffix in ("csv", "json", "md", "tex")),
    *(f"diagnosis.{suffix}" for suffix in ("json", "md")),
    "manifest.json",
)


def write(study: FinishedStudy, folder: Path) -> Iterator[Path]:
    """
    Raises:
        DataError: the study has no gallery, or not all of its tables.
    """
    report = study.folder / "report"
    if not (report / "gallery").is_dir():
        raise DataError(f"{report / 'gallery'}: not there; run snakemake, which makes it")
    yield _copy_gallery(report / "gallery", folder / "gallery")
    galleries = {}
    for name, run in study.plan.runs.items():
        made = training_gallery(study.folder.parent, name, run)
        if made.is_dir():
            galleries[name] = _copy_gallery(made, folder / made.name)
            yield galleries[name]
    figures = sorted(report.glob("*.svg"))
    papers = [path.with_suffix(".pdf") for path in figures]
    for path in [*(study.folder / name for name in TABLES), *figures, *papers]:
        yield _copy(path, folder / path.name)
    page = folder / "index.html"
    drawn = drawn_of(study.plan, [folder / path.name for path in figures])
    diagnosis = read_diagnosis(study.folder / "diagnosis.json")
    write_page(study.plan, study.rows, diagnosis, drawn, page, folder, galleries)
    yield page
    with atomic(folder / "README.md") as part:
        part.write_text(_card(study), encoding="utf-8")
    yield folder / "README.md"


def _copy_gallery(source: Path, target: Path) -> Path:
    """In the place of an earlier one, without the time stamp that Snakemake hides in it."""
    with atomic_folder(target) as part:
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(source, part, ignore=hidden, dirs_exist_ok=True)
    return target


def _copy(source: Path, target: Path) -> Path:
    try:
        with atomic(target) as part:
            shutil.copyfile(source, part)
    except FileNotFoundError:
        raise DataError(f"{source}: not there; run snakemake, which makes it") from None
    return target


def _card(study: FinishedStudy) -> str:
    dataset = study.plan.study.dataset
    of_hub = [dataset.id] if isinstance(dataset, HubDataset) and dataset.repository else None
    data = SpaceCardData(
        title=f"Active perception: study {study.plan.name}",
        sdk="static",
        app_file="index.html",
        datasets=of_hub,
        tags=["active-perception", "visual-question-answering"],
    )
    found = "\n".join(f"- {sentence}" for sentence in findings(study.rows, study.plan.started_from))
    about = study.manifest.get("dataset")
    pages = (
        f"Its pages are of {about['url']} ({about['license'] or 'no licence'}).\n" if about else ""
    )
    text = f"""\
# Study {study.plan.name}

{found}

`index.html` has all tables, and its numbers lead to their episodes in `gallery/`. The results are
those with the digest `{study.manifest["digest"]}`; `manifest.json` tells what they were made from.
{pages}"""
    return as_card(data, text)


EXPORT = Export("a static site, which is a Space of the Hugging Face Hub", write)
