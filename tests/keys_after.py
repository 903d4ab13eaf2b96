"""The keys of a pipeline's jobs after each of some edits, all in one process.

    python -m tests.keys_after CHECKOUT EDITS

prints JSON: for each edit of the file EDITS, in order, the keys of every job under each of its
configurations. An edit is made in the checkout and undone. The package is imported anew where its
modules have changed that the keys themselves are computed with.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.workflow import REPOSITORY

PACKAGE = "active_perception_r1"
Keys = dict[str, str]
_READING = f"{PACKAGE}.storage.fingerprint"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of code, and configurations to compare under it.

    Attributes:
        replaced: file in the package, a text in it, and what stands there instead.
        written: new files in the package, with their text.
    """

    configs: list[dict[str, Any]]
    replaced: list[tuple[str, str, str]] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)


def keys_after(checkout: Path, edits: Sequence[Edit]) -> list[list[Keys]]:
    """For each edit and each of its configurations, the keys of all jobs of its study.

    Jobs are named by their rule and what they are for.
    """
    path = checkout / "edits.json"
    path.write_text(json.dumps([asdict(edit) for edit in edits]), encoding="utf-8")
    command = [sys.executable, "-B", "-m", "tests.keys_after", str(checkout), str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[list[Keys]] = json.loads(done.stdout)
    return found


def main(checkout: Path, edits: Path) -> None:
    package = checkout / "src" / PACKAGE
    sys.path.insert(0, str(package.parent))
    found = []
    for row in json.loads(edits.read_text(encoding="utf-8")):
        edit = Edit(**row)
        with _made(edit, package):
            found.append([_keys(config) for config in edit.configs])
    print(json.dumps(found))


@contextmanager
def _made(edit: Edit, package: Path) -> Iterator[None]:
    changed = [package / name for name, _, _ in edit.replaced]
    folders = [(package / name).parent / "__init__.py" for name in edit.written]
    with ExitStack() as undo:
        undo.callback(_look_again, [*changed, *folders])
        for name, old, new in edit.replaced:
            text = (package / name).read_text(encoding="utf-8")
            assert old in text, f"{name} has no {old}"
            undo.callback((package / name).write_text, text, encoding="utf-8")
            (package / name).write_text(text.replace(old, new), encoding="utf-8")
        for name, text in edit.written.items():
            undo.callback((package / name).unlink)
            (package / name).write_text(text, encoding="utf-8")
        _look_again([*changed, *folders])
        yield


def _look_again(changed: Sequence[Path]) -> None:
    """Forget what is known of files that changed, of a package if there is a new one in it."""
    loaded = {name: module for name, module in sys.modules.items() if _is_ours(name)}
    if {str(path) for path in changed} & {str(module.__file__) for module in loaded.values()}:
        for name in loaded.keys() - {_READING}:  # it remembers files by their content
            del sys.modules[name]
        importlib.invalidate_caches()
    if stages := sys.modules.get(f"{PACKAGE}.keys.stages"):
        stages.forget()


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def _keys(config: dict[str, Any]) -> Keys:
    parse_config = importlib.import_module(f"{PACKAGE}.config").parse_config
    study_plan = importlib.import_module(f"{PACKAGE}.config.plan").StudyPlan
    study_keys = importlib.import_module(f"{PACKAGE}.report.provenance.keys").study_keys
    found = study_keys(study_plan(parse_config(config), config["study"]))
    return {job: str(key) for job, key in found.items()}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
