"""Writes the workflow that belongs to this package into a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from active_perception_r1.config import load_config
from active_perception_r1.errors import UserError
from active_perception_r1.runtime.installation import CONFIG, WORKFLOW, workflow_folder
from active_perception_r1.storage.files import atomic


def write_workflow(folder: Path, study: str | None = None) -> None:
    """Everything that Snakemake needs, with the shipped model; what is there already may stay.

    Args:
        folder: made if it is not there.
        study: entry of `studies` that the configuration is to name, if not the shipped one.

    Raises:
        UserError: there is no such study, or a file of another content is in the way.
    """
    source = workflow_folder()
    files = {name: (source / name).read_bytes() for name in _names(source)}
    if study:
        load_config(source / CONFIG, study=study)  # it is refused if it is unknown
        text = files[CONFIG].decode()
        files[CONFIG] = re.sub(r"(?m)^study: .*$", f"study: {study}", text, count=1).encode()
    others = [name for name in files if _differs(folder / name, files[name])]
    if others:
        more = f", and {len(others) - 1} more" if others[1:] else ""
        raise UserError(
            f"{folder / others[0]}: is there already, with another content{more}; give an empty"
            " folder, or move them away"
        )
    for name, content in files.items():
        if not (folder / name).exists():
            with atomic(folder / name) as part:
                part.write_bytes(content)


def _names(source: Path) -> Iterator[str]:
    """Files of the workflow, from its folder on."""
    for name in WORKFLOW:
        paths = [source / name, *sorted((source / name).rglob("*"))]
        yield from (str(path.relative_to(source)) for path in paths if path.is_file())


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and not (path.is_file() and path.read_bytes() == content)
