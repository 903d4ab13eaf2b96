"""What a module of the package imports, however far: what may run when it does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from active_perception_r1.keys.stages import ROOT, file_of, imported


def entries_of(*registries: str) -> list[str]:
    """The modules in these packages that are found by their names."""
    return [
        f"{package}.{file.stem}"
        for package in registries
        for file in (ROOT / package.replace(".", "/")).glob("[!_]*.py")
    ]


def import_closure(modules: Iterable[str]) -> dict[str, Path]:
    """The modules that run when these are imported or used, by name, with their files.

    Imports inside functions count, and so does the `__init__` of every package on the way.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name and name not in found:
            found[name] = file_of(name)
            waiting += [*imported(name), name.rpartition(".")[0]]
    return dict(sorted(found.items()))
