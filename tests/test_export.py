"""Results in the formats of other people's viewers; inspect's own reader: `tests/inspect_view`."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard, SpaceCard, parse_eval_result_entries

from active_perception_r1.cli import main
from active_perception_r1.config import parse_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError
from active_perception_r1.records import Episode
from active_perception_r1.report.conversations import conversations
from active_perception_r1.report.exports import EXPORTS
from active_perception_r1.report.finished import FinishedStudy, read_study
from tests.finished_report import finished_report
from tests.finished_study import CONFIG
from tests.leaderboard_rows import a_row
from tests.scripted import make_sample
from tests.workflow import REPOSITORY, Workflow

HUB: dict[str, object] = {"source": "hub", "id": "craigwu/vstar_bench", "format": "vstar"}
ABOUT = {"url": "https://huggingface.co/datasets/craigwu/vstar_bench", "license": "MIT"}


def study(dataset: dict[str, object], weights: str, *modes: str) -> FinishedStudy:
    config = {
        **CONFIG,
        "studies": {"s": {"dataset": dataset, "models": ["m"], "modes": modes}},
        "models": {"m": {**CONFIG["models"]["m"], "id": weights}},
    }
    manifest = {
        "created": "2026-11-26T12:00:00+00:00",
        "digest": "d0",
        "revisions": {"dataset": {"test": "d0"}},
        "dataset": ABOUT if dataset is HUB else {},
    }
    rows = [a_row("m", mode) for mode in modes]
    return FinishedStudy(Path("nowhere"), StudyPlan(parse_config(config), "s"), manifest, rows)


def test_every_format_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    formats = ",".join(name.replace("_", "-") for name in EXPORTS)
    assert f"{{{formats}}}" in capsys.readouterr().out


# What a model saw and said.


def test_a_conversation_is_what_was_recorded(finished: Workflow) -> None:
    answers = read_study(finished.folder / "results" / "small").answers
    entry = next(entry for entry in answers.entries if entry.mode == "active")
    told = list(conversations(answers, entry))
    assert len(told) == 12
    for conversation in told:
        assert conversation.exact
        said = [m.parts[0] for m in conversation.messages if m.role == "assistant"]
        assert said == [turn.text for turn in conversation.episode.turns]


def test_a_session_trace_is_a_header_and_its_messages(
    finished: Workflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = finished.folder / "results" / "small"
    assert main(["export", str(results), "--to", "sts", "--output", str(tmp_path)]) == 0
    told = tmp_path / "tiny" / "active.jsonl"
    assert str(told) in capsys.readouterr().out.splitlines()
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    headers = [line for line in lines if line["type"] == "session"]
    assert len({header["id"] for header in headers}) == len(headers) == 12
    messages = [line["message"] for line in lines if line["type"] == "message"]
    assert {message["role"] for message in messages} == {"user", "assistant"}
    predictions = (results / "predictions/tiny/active.jsonl").read_text().splitlines()
    said = [turn.text for line in predictions for turn in Episode.from_json(line).turns]
    assert [m["content"] for m in messages if m["role"] == "assistant"] == said
    assert "[image of 112 x 112 pixels]" in messages[0]["content"]


def test_a_part_of_a_study_is_refused(
    finished: Workflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "small"
    shutil.copytree(finished.folder / "results" / "small", results)
    (results / "scores" / "tiny" / "active.parquet").unlink()
    assert main(["export", str(results), "--to", "inspect"]) == 1
    assert (
        "active.parquet: not there; give the folder of a study that ran" in capsys.readouterr().err
    )


def test_pinned_results_are_refused_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    (pinned,) = (REPOSITORY / "results" / "pinned").glob("demo-*")
    assert main(["export", str(pinned), "--to", "space"]) == 1
    assert "without the images of their pages; make the study again" in capsys.readouterr().err


# A static site.


class Addresses(HTMLParser):
    """Whatever a page leads to or loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found |= {value or "" for name, value in attributes if name in ("href", "src")}


def assert_whole(site: Path) -> None:
    """Every address on a page is that of a file of the site, relative to the page."""
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        for address in Addresses(page.read_text(encoding="utf-8")).found:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            assert (parts.scheme, parts.netloc) == ("", ""), address
            target = (page.parent / unquote(parts.path)).resolve()
            assert target.is_relative_to(site.resolve()), address
            assert target.exists(), address
    assert {page.parent.name for page in pages} > {site.name, "gallery"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    written = list(EXPORTS["space"].write(finished_report(tmp_path / "results"), tmp_path))
    assert all(path.exists() for path in written)
    shutil.rmtree(tmp_path / "results")  # nothing of the site is there
    return tmp_path


def test_every_address_of_a_site_is_a_file_of_it(site: Path) -> None:
    assert_whole(site)
    page = (site / "index.html").read_text(encoding="utf-8")
    assert {"leaderboard.csv", "manifest.json", "accuracy.svg"} < Addresses(page).found
    assert "gallery.tiny-zoom-vlm%2Bgrpo/index.html" in Addresses(page).found


def test_a_site_is_a_static_space(site: Path) -> None:
    card = SpaceCard.load(site / "README.md")
    assert (card.data.sdk, card.data.app_file) == ("static", "index.html")
    assert "- When it may zoom (active), m answers 0.800" in card.text
    assert [path.name for path in site.rglob(".*")] == []


def test_a_site_is_written_over_an_earlier_one(tmp_path: Path) -> None:
    study = finished_report(tmp_path / "results")
    site = tmp_path / "site"
    (site / "gallery").mkdir(parents=True)
    (site / "gallery" / "old.js").touch()
    (site / ".git").mkdir()
    list(EXPORTS["space"].write(study, site))
    assert not (site / "gallery" / "old.js").exists()
    assert (site / ".git").exists()


@pytest.mark.parametrize("missing", ["report/gallery", "leaderboard.tex"])
def test_a_study_without_a_part_of_its_site_is_refused(tmp_path: Path, missing: str) -> None:
    study = finished_report(tmp_path / "results")
    (study.folder / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=re.escape(f"{missing}: not there; run snakemake")):
        list(EXPORTS["space"].write(study, tmp_path))


def test_the_site_of_a_run_is_whole(finished: Workflow, tmp_path: Path) -> None:
    results = finished.folder / "results" / "small"
    assert main(["export", str(results), "--to", "space", "--output", str(tmp_path)]) == 0
    assert_whole(tmp_path)
    assert (tmp_path / "gallery.tiny+grpo" / "index.html").exists()
    assert str(finished.folder) not in (tmp_path / "manifest.json").read_text()


# A dataset.


@pytest.mark.parametrize(
    ("source", "license", "said"),
    [
        ({"source": "synthetic"}, "apache-2.0", "drawn by Active-Perception-R1"),
        (HUB, "other", "https://huggingface.co/datasets/craigwu/vstar_bench, licence: MIT."),
    ],
    ids=["own pages", "those of others"],
)
def test_questions_are_a_dataset_with_its_card(
    source: dict[str, object], license: str, said: str, tmp_path: Path
) -> None:
    finished = replace(study(source, "a/model", "baseline"), folder=tmp_path / "results")
    (tmp_path / "results" / "slice").mkdir(parents=True)
    samples = [make_sample(0), make_sample(7)]
    write_samples(finished.answers.slice_file, samples)
    table, readme = EXPORTS["dataset"].write(finished, tmp_path)
    card = DatasetCard.load(readme)
    assert card.data.license == license
    assert said in card.text
    (config,) = card.data.to_dict()["configs"]
    (file,) = config["data_files"]
    assert tmp_path / file["path"] == table
    kept = load_dataset("parquet", data_files={file["split"]: str(table)}, cache_dir=tmp_path)
    assert [row["image"].size for row in kept["test"]] == [(s.width, s.height) for s in samples]
    assert [tuple(row["answers"]) for row in kept["test"]] == [s.answers for s in samples]
    assert kept["test"][0]["evidence"][0]["x0"] == samples[0].evidence[0].box.x0


# The Hub's own results.


def test_a_result_of_the_hub_is_filed_with_its_model(tmp_path: Path) -> None:
    finished = study(HUB, "a/model", "baseline", "active", "oracle", "blank_crop")
    written = list(EXPORTS["eval_results"].write(finished, tmp_path))
    folder = tmp_path / "a" / "model" / ".eval_results"
    assert written == [folder / "s.yaml", folder / "s_active.yaml"]  # the others are controls
    plain, active = (parse_eval_result_entries(yaml.safe_load(p.read_text()))[0] for p in written)
    assert (plain.dataset_id, plain.task_id, plain.value) == ("craigwu/vstar_bench", "default", 0.5)
    assert (plain.dataset_revision, plain.notes) == ("d0", None)
    assert active.notes is not None
    assert active.notes.endswith("; 10 questions of split test.")


def test_data_or_a_model_of_ones_own_is_refused_with_the_reason(tmp_path: Path) -> None:
    own = {"source": "synthetic"}
    with pytest.raises(DataError, match="about its own datasets only, and synthetic"):
        list(EXPORTS["eval_results"].write(study(own, "a/model", "baseline"), tmp_path))
    weights = tmp_path / "weights"
    weights.mkdir()
    with pytest.raises(DataError, match="model m: the Hub keeps results with its own models only"):
        list(EXPORTS["eval_results"].write(study(HUB, str(weights), "baseline"), tmp_path))
    assert list(tmp_path.iterdir()) == [weights]
