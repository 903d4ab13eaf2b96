"""Pinned results: the small part of a study's results, to be kept, cited and compared with.

The folder is named `{study}-{date}-{hash8}` after its manifest and depends on nothing else, so that
the same results always give the same folder. Left out are page images and weights, which their
hashes and the configuration stand for, and whatever is large. `pin.json` names every file.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import DataError
from active_perception_r1.report.provenance import citation, crate
from active_perception_r1.report.provenance.manifest import (
    NAME,
    Manifest,
    digest_of,
    read_manifest,
    seal_of,
)
from active_perception_r1.storage.files import sha256_of, write_json

PIN = "pin.json"
LARGE = 2_000_000  # bytes; a repository keeps every version of a file for ever


def pin(results: Path, workflow: Path, output: Path) -> Path:
    """Pin the results in a folder below `output`; there already, it is left as it is.

    Args:
        results: folder of a study, with its manifest.
        workflow: folder with the Snakefile, which is pinned as well.

    Returns:
        The pinned folder.

    Raises:
        DataError: the results are not what their manifest says.
    """
    manifest = read_manifest(results / NAME)
    if manifest["digest"] != digest_of(manifest):
        raise DataError(f"{results / NAME}: edited; run snakemake again")
    hash8 = manifest["digest"][:8]
    for there in output.glob(f"{manifest['study']}-*-{hash8}"):
        return there
    folder = output / f"{manifest['study']}-{manifest['created'][:10]}-{hash8}"
    part = output / f".{folder.name}.{os.getpid()}.part"
    part.mkdir(parents=True)
    try:
        _fill(part, results, workflow, manifest, folder.name)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def read_pin(folder: Path) -> dict[str, Any]:
    """The list of files of a pinned folder.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads((folder / PIN).read_text(encoding="utf-8"))
        if not {"files", "left_out", "seal"} <= content.keys():
            raise ValueError
    except (OSError, ValueError, AttributeError):
        raise DataError(f"{folder / PIN}: missing or damaged") from None
    return content


def _fill(part: Path, results: Path, workflow: Path, manifest: Manifest, name: str) -> None:
    left_out: dict[str, str] = {}
    for output, expected in manifest["outputs"].items():
        path = results / output
        if not path.is_file() or sha256_of(path) != expected:
            raise DataError(f"{path}: not what the manifest says; run snakemake again")
        if output.startswith("slice/") and path.suffix == ".parquet":
            _write_questions(path, part / output)
        if _holds_pages_or_weights(output) or path.stat().st_size > LARGE:
            left_out[output] = expected
        else:
            _copy(path, part / output)
    shutil.copy(results / NAME, part / NAME)
    config = yaml.safe_dump(manifest["config"], sort_keys=False, allow_unicode=True)
    (part / "config.yaml").write_text(config, encoding="utf-8")
    for source in (workflow / "Snakefile", *sorted((workflow / "rules").glob("*.smk"))):
        target = part / "workflow" / source.relative_to(workflow)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    citation.write_citation(part, manifest, name)
    crate.write_crate(part, manifest, name)
    content = {"digest": manifest["digest"], "files": dict(_hashes(part)), "left_out": left_out}
    write_json(part / PIN, {**content, "seal": seal_of(content)})


def _holds_pages_or_weights(name: str) -> bool:
    path = Path(name)
    pages = path.suffix == ".parquet" and path.parts[0] in ("dataset", "slice", "training")
    return pages or "checkpoint" in path.parts or name.startswith("report/gallery")


def _copy(source: Path, target: Path) -> None:
    """As it is; predictions compressed, without a time stamp."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".jsonl":
        packed = gzip.compress(source.read_bytes(), mtime=0)
        target.with_name(f"{target.name}.gz").write_bytes(packed)
    else:
        shutil.copyfile(source, target)


def _write_questions(slice_file: Path, target: Path) -> None:
    """The slice without its images: one JSON line for each sample."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".questions.jsonl").open("w", encoding="utf-8") as file:
        for sample in read_slice(slice_file):
            row = {key: value for key, value in asdict(sample).items() if key != "image"}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), sha256_of(path)
