"""Writing results so that a reader finds them whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
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
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts_of_the_dead(output)
        part.touch()
    except OSError as error:
        raise named(error, output.parent) from None
    try:
        yield part
        os.replace(part, output)
    except OSError as error:
        raise error if error.filename else named(error, output) from None
    finally:
        part.unlink(missing_ok=True)


def _remove_parts_of_the_dead(output: Path) -> None:
    """What a killed process has left of its attempts to write `output`."""
    for part in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
        writer = part.name.rsplit(".", 2)[1]
        if not Path("/proc", writer).exists():
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
