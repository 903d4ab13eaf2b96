"""Are results still what their manifest says? Every difference by name."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from active_perception_r1.config import Config
from active_perception_r1.report.gallery.names import FOLDER, is_picture, name_of, named_in
from active_perception_r1.report.provenance import manifest as manifests
from active_perception_r1.report.provenance.pin import PIN, read_pin
from active_perception_r1.storage.files import sha256_of


def differences(folder: Path, config: Config | None = None) -> list[str]:
    """What differs in a folder of results or in a pinned one, one line for each difference.

    Inputs of results (datasets, weights) are looked for from the working directory; a pinned folder
    is checked by itself.

    Args:
        config: the configuration of today, to be compared with that of the manifest.

    Raises:
        DataError: there is no manifest.
    """
    manifest = manifests.read_manifest(folder / manifests.NAME)
    found = list(_edited(manifest, manifests.NAME))
    if manifest["digest"] != manifests.digest_of(manifest):
        found.append(f"{manifests.NAME}: its digest is not that of its contents")
    if (folder / PIN).exists():
        found += _pinned(folder, manifest)
    else:
        found += _files(folder, manifest["outputs"], {manifests.NAME})
        found += _hashes(Path(), manifest["inputs"], "input ")
    if config is not None:
        found += _config(manifest["config"], config.of_study(manifest["study"]), "")
    return found


def _pinned(folder: Path, manifest: manifests.Manifest) -> Iterator[str]:
    pin = read_pin(folder)
    yield from _edited(pin, PIN)
    yield from _files(folder, pin["files"], {PIN})
    for name, expected in manifest["outputs"].items():
        if name not in pin["left_out"] and _content(folder / name) not in (expected, None):
            yield f"not what the manifest says: {name}"


def _content(path: Path) -> str | None:
    """Hash of a pinned output, which may be compressed; None if it is not there or damaged."""
    if path.exists():
        return sha256_of(path)
    try:
        packed = path.with_name(f"{path.name}.gz").read_bytes()
        return hashlib.sha256(gzip.decompress(packed)).hexdigest()
    except (OSError, EOFError):
        return None


def _edited(document: Mapping[str, Any], name: str) -> Iterator[str]:
    if document["seal"] != manifests.seal_of(document):
        yield f"edited: {name}"


# Snakemake's time stamp in a folder that is an output; and what is kept to be looked at, or was put
# together already.
_UNLISTED = ("*.snakemake_timestamp", "training/*/rollouts.jsonl.gz", "shards/*")


def _files(folder: Path, expected: Mapping[str, str], besides: set[str]) -> Iterator[str]:
    data = {name for name in expected if Path(name).match("gallery*/data/*.js")}
    yield from _hashes(folder, {name: expected[name] for name in expected if name not in data})
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    there = {name for name in there if not any(fnmatchcase(name, pattern) for pattern in _UNLISTED)}
    for name in sorted(there - expected.keys() - besides):
        if not is_picture(Path(name)):
            yield f"extra: {name}"
        elif not name.endswith(name_of((folder / name).read_bytes(), Path(name).suffix[1:])):
            yield f"changed: {name}"
    yield from _galleries(folder, {name: expected[name] for name in expected if name in data})


def _galleries(folder: Path, expected: Mapping[str, str]) -> Iterator[str]:
    """Of the data of galleries, which names their pictures: each file is read once for both."""
    pictures: set[Path] = set()

    def hashed(path: Path) -> str:
        content = path.read_bytes()
        names = named_in(content.decode("utf-8", errors="replace"))
        pictures.update(path.parents[1] / FOLDER / picture for picture in names)
        return hashlib.sha256(content).hexdigest()

    yield from _hashes(folder, expected, hashed=hashed)
    for path in sorted(pictures):
        if not path.is_file():
            yield f"missing: {path.relative_to(folder).as_posix()}"


def _hashes(
    folder: Path,
    expected: Mapping[str, str],
    kind: str = "",
    hashed: Callable[[Path], str] = sha256_of,
) -> Iterator[str]:
    for name, value in expected.items():
        path = folder / name
        if not path.is_file():
            yield f"missing: {kind}{name}"
        elif hashed(path) != value:
            yield f"changed: {kind}{name}"


def _config(before: Any, today: Any, where: str) -> Iterator[str]:
    """Differences between two configurations, by the path of the key."""
    if isinstance(before, Mapping) and isinstance(today, Mapping):
        for key in dict.fromkeys([*before, *today]):
            path = f"{where}.{key}" if where else str(key)
            yield from _config(before.get(key), today.get(key), path)
    elif before != today:
        yield f"config: {where} is {today!r}, the manifest has {before!r}"
