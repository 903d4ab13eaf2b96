"""Resolves the pins of every environment against the package index; nothing is installed.

`python envs/check.py [NAME ...]`: those of envs/*.yaml by name, or all of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml


def resolve(path: Path) -> bool:
    """Whether the pins of an environment can be had together, for its Python; says so."""
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    (pins,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    (python,) = (entry for entry in dependencies if str(entry).startswith("python="))
    version = python.removeprefix("python=")
    done = subprocess.run(
        ["uv", "pip", "compile", "--quiet", "--no-header", "--python-version", version, "-"],
        input="\n".join(pins),
        capture_output=True,
        text=True,
    )
    packages = sum("==" in line for line in done.stdout.splitlines())
    print(f"{path.name}: {packages} packages for Python {version}" if packages else done.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    folder = Path(__file__).parent
    paths = [folder / f"{name}.yaml" for name in sys.argv[1:]] or sorted(folder.glob("*.yaml"))
    resolved = [resolve(path) for path in paths]
    sys.exit(not all(resolved))
