"""Rooms of the house: what may import what. Imports inside functions and for types count, too."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import active_perception_r1

PACKAGE = active_perception_r1.__name__
ROOT = Path(active_perception_r1.__file__).parent

# From the ground up; a room may import what lies below it.
FLOORS = (
    ("columns", "errors", "geometry", "registry"),
    ("records",),
    ("envs", "utils"),
    ("tasks",),
    ("rewards",),
    ("sim",),
    ("families", "prompts"),
    ("modes",),
    ("storage", "variants"),
    ("config",),
    ("keys",),
    (
        *("benchmark", "data", "environments", "models", "report", "rollout", "runtime"),
        *("scoring", "training"),
    ),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
CORE = [room for rooms in FLOORS[: FLOORS.index(("storage", "variants"))] for room in rooms]
HEAVY = {
    *("accelerate", "datasets", "matplotlib", "pandas", "peft", "pyarrow", "pydantic", "scipy"),
    *("snakemake", "torch", "transformers", "trl", "verl", "verifiers", "vllm", "yaml"),
}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: say the whole name of what is imported"
            assert node.module
            yield node.module
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)


@functools.cache
def edges() -> dict[str, dict[str, list[str]]]:
    """For each room, the other rooms that it imports, and where."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT)
        room = name.parts[0].removesuffix(".py")
        for module in imports(path):
            other = room_of(module) if module.startswith(f"{PACKAGE}.") else ""
            if other and other != room:
                found.setdefault(room, {}).setdefault(other, []).append(str(name))
    return found


def test_every_room_has_its_floor() -> None:
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py.typed"} == FLOOR.keys()


def test_imports_point_downwards() -> None:
    upward = {
        f"{room} -> {other}": files
        for room, others in edges().items()
        for other, files in others.items()
        if FLOOR[other] > FLOOR[room]
    }
    assert upward == {}


def test_no_two_rooms_import_each_other_however_far() -> None:
    def reached(room: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
        for other in edges().get(room, {}):
            if other not in seen:
                yield other
                yield from reached(other, seen | {other})

    assert [room for room in FLOOR if room in set(reached(room))] == []


@pytest.mark.parametrize("room", CORE)
def test_the_core_needs_no_framework(room: str) -> None:
    files = [ROOT / f"{room}.py", *sorted((ROOT / room).rglob("*.py"))]
    found = {name.partition(".")[0] for path in files if path.exists() for name in imports(path)}
    assert found & HEAVY == set()
    known = {*sys.stdlib_module_names, PACKAGE, "PIL", "numpy", "rapidfuzz"}
    assert found <= known
