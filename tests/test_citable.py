"""What other people's catalogues read of the repository says the same everywhere."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from active_perception_r1.report.provenance.workflow_crate import (
    FILES,
    FOLDERS,
    write_workflow_crate,
)
from tests.workflow import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())


def test_the_citation_is_of_the_packages_version() -> None:
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert re.search(rf"^## {re.escape(PROJECT['version'])}$", read("CHANGELOG.md"), re.MULTILINE)


def test_zenodo_is_told_what_the_citation_says() -> None:
    zenodo = json.loads(read(".zenodo.json"))
    assert zenodo["title"] == CITATION["title"]
    assert zenodo["license"] == CITATION["license"]
    assert zenodo["creators"] == CITATION["authors"]


def test_the_model_card_is_one() -> None:
    card = ModelCard.load(REPOSITORY / "models" / "tiny-zoom-vlm" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "image-text-to-text"
    assert card.data.library_name == "transformers"


def test_the_crate_of_the_repository_is_about_its_workflow(tmp_path: Path) -> None:
    for name in ("Snakefile", *FILES):
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    date = "2026-11-26T12:00:00+00:00"
    write_workflow_crate(tmp_path, date)
    root = entity(tmp_path, "./")
    assert (root["name"], root["datePublished"]) == (CITATION["title"], date)
    workflow = entity(tmp_path, root["mainEntity"]["@id"])
    assert workflow["@id"] == "Snakefile"
    assert "ComputationalWorkflow" in workflow["@type"]
    assert workflow["version"] == PROJECT["version"]
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == {"Snakefile", *FILES, *(f"{name}/" for name in FOLDERS)}
    assert all((REPOSITORY / part).exists() for part in parts)


def entity(folder: Path, id: str) -> dict[str, Any]:
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    found: dict[str, Any] = next(entity for entity in graph if entity["@id"] == id)
    return found


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")
