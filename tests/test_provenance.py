"""Manifest, verify, pin and compare: what results were made from, and whether they still are."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from active_perception_r1.cli import main
from active_perception_r1.config import parse_config
from active_perception_r1.errors import DataError
from active_perception_r1.report.provenance.compare import compare
from active_perception_r1.report.provenance.manifest import read_manifest, write_manifest
from active_perception_r1.report.provenance.pin import pin
from active_perception_r1.report.provenance.verify import differences
from tests.finished_study import CONFIG, finish_study, row
from tests.gallery_pages import make_gallery
from tests.score_tables import score_table
from tests.workflow import REPOSITORY

RESOLVED = parse_config(CONFIG).of_study("s")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return finish_study(RESOLVED)


@pytest.fixture
def pinned(results: Path) -> Path:
    return pin(results, REPOSITORY, Path("results/pinned"))


# The manifest.


def test_it_names_inputs_outputs_revisions_seeds_and_jobs(results: Path) -> None:
    manifest = read_manifest(results / "manifest.json")
    assert list(manifest["inputs"]) == ["weights/model.bin"]
    assert "predictions/m/active.jsonl" in manifest["outputs"]
    assert manifest["revisions"] == {"dataset": {"test": "seed 0"}, "models": {"m": "r0"}}
    assert manifest["seeds"]["studies.s.slice.seed"] == 29
    assert manifest["packages"]["numpy"]
    assert manifest["machine"]["cores"] >= 1
    (job,) = manifest["jobs"]
    assert (job["rule"], job["seconds"]) == ("leaderboard", 2.5)
    assert job["command"] == "active-perception leaderboard"


def test_it_tells_source_license_and_citation_of_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    about = {
        "url": "https://huggingface.co/datasets/someone/pages",
        "license": "MIT",
        "citation": "Someone. Pages. 2020",
    }
    results = finish_study(RESOLVED, about)
    assert read_manifest(results / "manifest.json")["dataset"] == about
    folder = pin(results, REPOSITORY, Path("results/pinned"))
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    source = entities[entities["./"]["isBasedOn"]["@id"]]
    assert source["name"] == "someone/pages"
    assert (source["license"], source["citation"]) == ("MIT", "Someone. Pages. 2020")


def test_every_path_in_it_is_relative(results: Path) -> None:
    manifest = read_manifest(results / "manifest.json")
    names = [*manifest["inputs"], *manifest["outputs"]]
    names += [name for job in manifest["jobs"] for name in job["outputs"]]
    assert not any(Path(name).is_absolute() for name in names)
    assert str(Path.cwd()) not in (results / "manifest.json").read_text()


def test_the_same_results_have_the_same_digest_whenever_they_are_described(results: Path) -> None:
    before = read_manifest(results / "manifest.json")
    again = read_manifest(finish_study(RESOLVED) / "manifest.json")
    assert again["digest"] == before["digest"]


def test_a_lost_file_cannot_be_listed(results: Path) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump(CONFIG))
    command = ["manifest", "--study=s", "--config=mine.yaml", "--files=none"]
    assert main([*command, "--records=.", f"--output={results}/manifest.json"]) == 1


# Verification.


def edit_manifest(results: Path) -> None:
    path = results / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 29', '"seed": 30', 1))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a flipped byte": (
        lambda results: flip(results / "slice/test.parquet"),
        ["changed: slice/test.parquet"],
    ),
    "a missing file": (
        lambda results: (results / "leaderboard.json").unlink(),
        ["missing: leaderboard.json"],
    ),
    "an extra file": (
        lambda results: (results / "scores.txt").write_text("?"),
        ["extra: scores.txt"],
    ),
    "another input": (
        lambda results: Path("weights/model.bin").write_text("others"),
        ["changed: input weights/model.bin"],
    ),
    "an edited manifest": (
        edit_manifest,
        ["edited: manifest.json", "manifest.json: its digest is not that of its contents"],
    ),
}


def test_untouched_results_are_what_their_manifest_says(results: Path) -> None:
    assert differences(results, parse_config(CONFIG)) == []
    assert main(["verify", str(results)]) == 0


def test_a_picture_of_a_gallery_is_missed_by_its_name_and_known_by_its_content(
    results: Path,
) -> None:
    gallery = make_gallery(results / "report").rename(results / "report/gallery.r")
    manifest = results / "manifest.json"
    files = {path for path in results.rglob("*") if path.is_file() and path != manifest}
    listed = [*files - set(gallery.rglob("*")), gallery]
    write_manifest("s", RESOLVED, {}, listed, Path(".snakemake/metadata"), manifest)
    assert differences(results) == []
    lost, changed, *_ = sorted(gallery.glob("images/*/*"))
    lost.unlink()
    changed.write_bytes(b"other pixels")
    assert differences(results) == [
        f"changed: {changed.relative_to(results)}",
        f"missing: {lost.relative_to(results)}",
    ]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(damage: str, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apply, expected = DAMAGE[damage]
    apply(results)
    assert differences(results) == expected
    assert main(["verify", str(results)]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == expected
    assert printed.err.startswith(f"error: {results}: not what its manifest says")


def test_a_configuration_edited_since_is_named_by_its_key(results: Path) -> None:
    edited = copy.deepcopy(CONFIG)
    edited["studies"]["s"]["slice"]["seed"] = 30
    Path("mine.yaml").write_text(yaml.safe_dump(edited))
    assert main(["verify", str(results), "--configfile", "mine.yaml"]) == 1
    assert differences(results, parse_config(edited)) == [
        "config: studies.s.slice.seed is 30, the manifest has 29"
    ]


# Pinning.


def test_pinned_results_are_small_and_can_be_cited(pinned: Path) -> None:
    names = {path.relative_to(pinned).as_posix() for path in pinned.rglob("*") if path.is_file()}
    assert names >= {
        *["leaderboard.json", "manifest.json", "config.yaml", "pin.json", "workflow/Snakefile"],
        *["predictions/m/active.jsonl.gz", "slice/test.questions.jsonl", "dataset/test.json"],
        *["CITATION.cff", "citation.bib", "README.md", "ro-crate-metadata.json"],
    }
    assert not any(name.endswith(".parquet") or "checkpoint" in name for name in names)
    digest = read_manifest(pinned / "manifest.json")["digest"]
    assert pinned.name.endswith(digest[:8])
    assert digest in (pinned / "citation.bib").read_text()
    citation = yaml.safe_load((pinned / "CITATION.cff").read_text())
    assert citation["identifiers"][0]["value"] == f"sha256:{digest}"
    question = json.loads((pinned / "slice/test.questions.jsonl").read_text())
    assert "image" not in question
    assert question["question"] == "What is the total?"


def test_pinning_the_same_again_changes_nothing(results: Path, pinned: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pinned.rglob("*")}
    finish_study(RESOLVED)
    assert pin(results, REPOSITORY, pinned.parent) == pinned
    assert {path: path.stat().st_mtime_ns for path in pinned.rglob("*")} == before


def test_the_same_results_give_the_same_bytes(results: Path, pinned: Path) -> None:
    again = pin(results, REPOSITORY, Path("elsewhere"))
    assert again.name == pinned.name
    for path in pinned.rglob("*"):
        if path.is_file():
            assert (again / path.relative_to(pinned)).read_bytes() == path.read_bytes(), path


def test_results_that_were_tampered_with_are_not_pinned(results: Path) -> None:
    flip(results / "leaderboard.json")
    with pytest.raises(DataError, match=r"leaderboard\.json: not what the manifest says"):
        pin(results, REPOSITORY, Path("results/pinned"))
    assert list(Path("results/pinned").iterdir()) == []


def test_pinned_results_verify_by_themselves(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pinned)
    assert differences(Path.cwd()) == []


def test_pinned_results_verify_under_another_name_and_as_a_copy(pinned: Path) -> None:
    shutil.copytree(pinned, pinned.parent / "copy")
    assert differences(pinned.parent / "copy") == []
    assert differences(pinned.rename(pinned.parent / "renamed")) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("config.yaml", ["changed: config.yaml"]),
        ("predictions/m/active.jsonl.gz", ["changed: predictions/m/active.jsonl.gz"]),
    ],
)
def test_a_flipped_byte_in_pinned_results_is_named(
    name: str, expected: list[str], pinned: Path
) -> None:
    flip(pinned / name)
    assert differences(pinned)[:1] == expected


def test_the_pinned_configuration_runs_by_itself(pinned: Path) -> None:
    config = parse_config(yaml.safe_load((pinned / "config.yaml").read_text()))
    assert config.of_study("s") == RESOLVED


def test_the_crate_lists_every_file(pinned: Path) -> None:
    crate = json.loads((pinned / "ro-crate-metadata.json").read_text())
    listed = {entity["@id"] for entity in crate["@graph"]}
    there = {path.relative_to(pinned).as_posix() for path in pinned.rglob("*") if path.is_file()}
    assert there - listed == {"pin.json"}  # It holds the crate's hash, so it is made last.


# Comparison.

COMPARISONS: dict[str, tuple[dict[str, Any], bool]] = {
    "the same": (row(0.5), True),
    "within the tolerance": (row(0.54), True),
    "beyond it": (row(0.56), False),
    "on other questions": (row(n=99), False),
    "in another mode": (row(mode="oracle"), False),
}


@pytest.mark.parametrize("case", COMPARISONS)
def test_a_row_is_reproduced_within_the_tolerance(case: str, tmp_path: Path) -> None:
    after, reproduced = COMPARISONS[case]
    assert compared(tmp_path, row(0.5), after) == (0 if reproduced else 1)


@pytest.mark.parametrize(("accuracy", "exit_code"), [(0.69, 0), (0.71, 1)])
def test_a_model_trained_in_the_run_may_differ_as_its_intervals_do(
    accuracy: float, exit_code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = row(0.5, delta_vs_start=0.1), row(accuracy, delta_vs_start=0.3)
    assert compared(tmp_path, before, after) == exit_code
    assert "trained: 0.200, both half-widths" in capsys.readouterr().out


def compared(folder: Path, before: dict[str, Any], after: dict[str, Any]) -> int:
    for name, content in (("before", before), ("after", after)):
        (folder / name).mkdir()
        (folder / name / "leaderboard.json").write_text(json.dumps([content]))
    found = compare(folder / "before", folder / "after", 0.05)
    code = main(["compare", str(folder / "before"), str(folder / "after"), "--tolerance=0.05"])
    assert any(line.fault for line in found) == bool(code)
    return code


def test_two_files_are_compared_as_two_folders_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, accuracy in (("a.json", 0.5), ("b.json", 0.6)):
        (tmp_path / name).write_text(json.dumps([row(accuracy)]))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 1
    told = capsys.readouterr()
    assert "+0.100" in told.out
    assert "more than 0.050 apart" in told.out
    assert told.err.endswith(f"1 of 1 rows are not those of {tmp_path / 'a.json'}\n")


def test_where_scores_are_there_the_same_questions_are_tested_in_pairs(tmp_path: Path) -> None:
    for name, right in (("before", 20), ("after", 30)):
        scores = tmp_path / name / "scores" / "m" / "active.parquet"
        scores.parent.mkdir(parents=True)
        score_table([number < right for number in range(100)]).to_parquet(scores)
        (tmp_path / name / "leaderboard.json").write_text(json.dumps([row(right / 100)]))
    (found,) = compare(tmp_path / "before", tmp_path / "after", 0.05)
    assert found.test is not None
    assert (found.test.gained, found.test.harmed) == (10, 0)
    assert found.test.p_value == pytest.approx(2 / 2**10)
    others = score_table([True] * 100, sample_id=[f"other{i}" for i in range(100)])
    others.to_parquet(tmp_path / "after/scores/m/active.parquet")
    (found,) = compare(tmp_path / "before", tmp_path / "after", 0.05)
    assert found.test is None  # These are other questions.
