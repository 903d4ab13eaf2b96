"""Writing results so that a reader finds them whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(output: Path) -> Iterator[Path]:
    """A path to write to; it becomes `output` when the block ends without an error.

    Raises:
        OSError: the disk is full, the folder read-only, or such; it names what cannot be written.
    """
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    _begin(output, part.touch)
    try:
        yield part
        os.replace(part, output)
    except OSError as error:
        raise error if error.filename else named(error, output) from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(output: Path) -> Iterator[Path]:
    """A folder to write into; it takes the place of `output` when the block ends without an error.

    Raises:
        OSError: as `atomic`.
    """
    part, before = (
        output.with_name(f".{output.name}.{os.getpid()}.{suffix}")
        for suffix in ("part", "old.part")
    )
    _begin(output, part.mkdir)
    try:
        yield part
        if output.exists():
            output.rename(before)
        part.rename(output)
    except OSError as error:
        raise named(error, output) from None
    finally:
        _remove(part)
        _remove(before)


def _begin(output: Path, make: Callable[[], None]) -> None:
    """Make a part of `output` in its folder."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts_of_the_dead(output)
        make()
    except OSError as error:
        raise named(error, output.parent) from None


def _remove_parts_of_the_dead(output: Path) -> None:
    """What a killed process has left of its attempts to write `output`."""
    for part in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
        writer = part.name.removeprefix(f".{output.name}.").partition(".")[0]
        if writer.isdecimal() and not _runs(int(writer)):
            _remove(part)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)


def named(error: OSError, path: Path) -> OSError:
    """The error of a write, which does not say where, with the file's name."""
    return OSError(error.errno, error.strerror, str(path))


def write_json(output: Path, content: Mapping[str, Any]) -> None:
    """Writes indented JSON, keys in the given order."""
    with atomic(output) as part:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
