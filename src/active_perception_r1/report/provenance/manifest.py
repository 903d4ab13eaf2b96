"""The manifest of a study: everything that its results were made from, and by what.

`digest` identifies the results: sha256 over the study, its configuration, the code fingerprints and
the hashes of every input and output. When and where they were made is written down too, but is no
part of it. `seal` is a sha256 over the whole manifest, so that an edit of it shows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from os.path import relpath
from pathlib import Path
from typing import Any

from active_perception_r1.errors import DataError
from active_perception_r1.report.gallery.names import is_picture
from active_perception_r1.report.provenance.jobs import read_jobs
from active_perception_r1.report.provenance.machine import hardware, packages, source_commit
from active_perception_r1.storage.files import sha256_of, write_json

NAME = "manifest.json"
FORMAT = 1

Manifest = dict[str, Any]
_IDENTITY = ("format", "study", "config", "code", "inputs", "outputs")


def write_manifest(
    study: str,
    config: Mapping[str, Any],
    code: Mapping[str, str],
    files: Iterable[Path],
    records: Path,
    output: Path,
) -> None:
    """Write the manifest of the results in the folder of `output`.

    Args:
        config: the resolved configuration, as far as it concerns the study.
        code: fingerprint of each rule's code.
        files: every file or folder that was read or written; those in the folder of `output` are
            outputs, all others inputs.
        records: where Snakemake keeps how files were made (`.snakemake/metadata`).

    Raises:
        DataError: a file is missing or not what it should be.
    """
    outputs, inputs = {}, {}
    for path in _expanded(files):
        if path.is_relative_to(output.parent):
            outputs[path.relative_to(output.parent).as_posix()] = sha256_of(path)
        else:
            inputs[Path(relpath(path)).as_posix()] = sha256_of(path)
    manifest: Manifest = {
        "format": FORMAT,
        "study": study,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": dict(config),
        "code": dict(sorted(code.items())),
        "source": source_commit(),
        "revisions": _revisions(output.parent, outputs),
        "dataset": _dataset(output.parent, outputs),
        "seeds": dict(_seeds(config)),
        "inputs": dict(sorted(inputs.items())),
        "outputs": dict(sorted(outputs.items())),
        "jobs": read_jobs(records, output.parent),
        "loads": _loads(output.parent, outputs),
        "machine": hardware(),
        "packages": packages(),
    }
    manifest["digest"] = digest_of(manifest)
    write_json(output, {**manifest, "seal": seal_of(manifest)})


def read_manifest(path: Path) -> Manifest:
    """A manifest; its seal is not checked.

    Raises:
        DataError: it is missing or no manifest.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run snakemake") from None
    except ValueError:
        raise DataError(f"{path}: not valid JSON") from None
    if not isinstance(manifest, dict) or not {*_IDENTITY, "digest", "seal"} <= manifest.keys():
        raise DataError(f"{path}: not a manifest")
    return manifest


def digest_of(manifest: Mapping[str, Any]) -> str:
    """sha256 (hex) of what identifies the results."""
    return _hash({key: manifest[key] for key in _IDENTITY})


def seal_of(document: Mapping[str, Any]) -> str:
    """sha256 (hex) of a document without its seal, however it is laid out as JSON."""
    return _hash({key: value for key, value in document.items() if key != "seal"})


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _expanded(files: Iterable[Path]) -> Iterator[Path]:
    """Folders as the files in them, hidden ones left out: Snakemake keeps time stamps there.

    Pictures of galleries are left out as well: there are thousands, and each is named after its
    content in files that are listed.
    """
    for path in files:
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.is_file())
            shown = (f for f in below if not f.name.startswith(".") and not is_picture(f))
            yield from shown
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path}: no such file; run snakemake again")


def _revisions(folder: Path, outputs: Iterable[str]) -> dict[str, dict[str, str]]:
    """What exactly was loaded: of each split of the dataset, and of each model."""
    found: dict[str, dict[str, str]] = {"dataset": {}, "models": {}}
    for name in outputs:
        path = folder / name
        if name.startswith("dataset/") and path.suffix == ".json":
            found["dataset"][path.stem] = _field(path.read_text(encoding="utf-8"), "revision", path)
        elif name.startswith("predictions/") and path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as lines:
                line = next(lines, "{}")
            found["models"][path.parent.name] = _field(line, "model_revision", path)
    return {kind: dict(sorted(named.items())) for kind, named in found.items()}


def _loads(folder: Path, outputs: Iterable[str]) -> dict[str, int]:
    """How often each model was loaded for its predictions: as a measurement, like seconds."""
    found: Counter[str] = Counter()
    for name in outputs:
        if name.startswith("predictions/") and name.endswith(".json"):
            about = json.loads((folder / name).read_bytes())
            found[Path(name).parent.name] += about.get("loads", 0)
    return dict(sorted(found.items()))


def _dataset(folder: Path, outputs: Iterable[str]) -> dict[str, str]:
    """Where the pages are from, with license and citation, as far as its format knows."""
    for name in sorted(outputs):
        if name.startswith("dataset/") and name.endswith(".json"):
            found: dict[str, str] = json.loads((folder / name).read_bytes()).get("about", {})
            return found
    return {}


def _field(text: str, key: str, path: Path) -> str:
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: does not tell the {key}; delete it and run again") from None


def _seeds(config: Any, where: str = "") -> Iterator[tuple[str, int]]:
    """Every seed in the configuration, by the path of its key."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "seed":
                yield f"{where}{key}", value
            else:
                yield from _seeds(value, f"{where}{key}.")
