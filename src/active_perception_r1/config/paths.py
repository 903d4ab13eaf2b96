"""Paths as a user gives them in the configuration."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

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


def _path_with_home(path: Path) -> Path:
    return Path(with_home(str(path)))


def _without_wildcards(path: Path) -> Path:
    if wildcard := _WILDCARD.search(str(path)):
        raise ValueError(
            f"Snakemake takes '{wildcard[0]}' for a wildcard; rename that part of the path, or link"
            " to it from a path without braces"
        )
    return path


LocalPath = Annotated[Path, AfterValidator(_path_with_home)]

InputPath = Annotated[LocalPath, AfterValidator(_without_wildcards)]
"""A file or folder that Snakemake watches."""

FolderOrName = Annotated[str, AfterValidator(with_home)]
"""A folder, or the name of a repository on the hub."""
