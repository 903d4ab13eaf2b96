"""Paths as a user gives them in the configuration.

They are spelled alike, however they are given: from the working directory on where they lead into
it, else from the root on.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

FOLDER = "folder"
"""In the context of a validation: where relative paths begin; else in the working directory."""

# As in `snakemake.io`, which knows no way to say that such a part of a path is none.
_WILDCARD = re.compile(r"\{\s*[.\w]+\s*(,[^{}]*)?\}")


def with_home(path: str) -> str:
    """The path with `~` replaced by the home folder, as a shell would have done.

    Raises:
        ValueError: it begins with `~`, and no such home folder is known.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111  # it may be a name on the hub
    if expanded.startswith("~"):
        raise ValueError(f"'{path.partition('/')[0]}' is no known home folder; give the whole path")
    return expanded


def _spelled(path: str, info: ValidationInfo) -> str:
    """Links are not followed: a path through one is meant to lead wherever it will lead."""
    folder = (info.context or {}).get(FOLDER, Path())
    whole = Path(os.path.abspath(folder / with_home(path)))  # noqa: PTH100  # it drops `..`, too
    here = Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def _spelled_path(path: Path, info: ValidationInfo) -> Path:
    return Path(_spelled(str(path), info))


def _spelled_folder(name: str, info: ValidationInfo) -> str:
    """What is no folder is a name on the hub."""
    path = _spelled(name, info)
    return path if Path(path).is_dir() else with_home(name)


def _without_wildcards(path: Path) -> Path:
    if wildcard := _WILDCARD.search(str(path)):
        raise ValueError(
            f"Snakemake takes '{wildcard[0]}' for a wildcard; rename that part of the path, or link"
            " to it from a path without braces"
        )
    return path


LocalPath = Annotated[Path, AfterValidator(_spelled_path)]

InputPath = Annotated[LocalPath, AfterValidator(_without_wildcards)]
"""A file or folder that Snakemake watches."""

FolderOrName = Annotated[str, AfterValidator(_spelled_folder)]
"""A folder, or the name of a repository on the hub."""
