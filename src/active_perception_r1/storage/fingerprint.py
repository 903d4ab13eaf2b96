"""Fingerprints: equal when a thing means the same, whenever and wherever it was written."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

from active_perception_r1.storage.files import sha256_of, write_json

TABLES = (
    "BACKENDS",
    "ENGINES",
    "FAMILIES",
    "FIGURES",
    "FORMATS",
    "METRICS",
    "MODES",
    "NEEDS",
    "PRESETS",
    "PROMPT_SETS",
    "READERS",
    "SOURCES",
    "SYNTAXES",
    "TASKS",
)
"""Of a table, the entries in use count, each by its own module, and not which others there are."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def fingerprint(*parts: str) -> str:
    """16 hex digits of the sha256 over a list of texts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def folder_fingerprint(folder: Path) -> str:
    """Over the relative paths and contents of all files below `folder`, hidden ones left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = ((path, path.relative_to(folder)) for path in files)
    return fingerprint(
        *(
            f"{name.as_posix()} {sha256_of(path)}"
            for path, name in names
            if not any(part.startswith(".") for part in name.parts)
        )
    )


def local_content(id: str) -> str:
    """Fingerprint of a model or dataset that is a local folder; empty for one on the hub."""
    return folder_fingerprint(Path(id)) if Path(id).is_dir() else ""


@dataclass(frozen=True, slots=True)
class Code:
    """What a file of Python code does when it runs.

    Attributes:
        fingerprint: comments, docstrings and formatting do not count, nor do top-level assignments
            to TABLES. Another minor version of Python gives another one.
        imports: whole names of what it imports, wherever in its text. What is imported from a
            package may be a module of it or not.
        named: dotted names in its texts, by which a module may be handed on.
    """

    fingerprint: str
    imports: frozenset[str]
    named: frozenset[str]


def read_code(path: Path) -> Code:
    """The code of a file.

    It is kept beside what Python has compiled of the file, since every plan and every job asks for
    that of many files.
    """
    return _code(path, path.read_bytes())


@functools.cache
def _code(path: Path, text: bytes) -> Code:
    content = hashlib.sha256(_own_text() + text).hexdigest()
    kept = _kept_beside(path)
    with suppress(OSError, ValueError, TypeError, KeyError):  # not there, or damaged
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["content"] == content:
            return Code(
                found["fingerprint"], frozenset(found["imports"]), frozenset(found["named"])
            )
    code = _parsed(text)
    if not sys.dont_write_bytecode:
        sets = {"imports": sorted(code.imports), "named": sorted(code.named)}
        with suppress(OSError):  # as Python does where it cannot write
            write_json(kept, {"content": content, "fingerprint": code.fingerprint, **sets})
    return code


def _kept_beside(path: Path) -> Path:
    """A file for each version of Python, which write and read code differently."""
    return Path(cache_from_source(str(path))).with_suffix(".code.json")


@functools.cache
def _own_text() -> bytes:
    """By which what is kept is known to be made as below."""
    return Path(__file__).read_bytes()


def _parsed(text: bytes) -> Code:
    tree = _Essence().visit(ast.parse(text))
    imports, named = set[str](), set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                imports |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                imports |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
            case ast.Constant(value=str(value)):
                named |= set(_DOTTED.findall(value))
    return Code(fingerprint(ast.dump(tree)), frozenset(imports), frozenset(named))


class _Essence(ast.NodeTransformer):
    """Drops docstrings and what is assigned to tables."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = [statement for statement in node.body if not _fills_table(statement)]
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def _fills_table(statement: ast.stmt) -> bool:
    """`TABLE = ..`, `TABLE: .. = ..`, `TABLE |= ..` or `TABLE[..] = ..`."""
    return any(_named_by(target) in TABLES for target in _targets(statement))


def _targets(statement: ast.stmt) -> Iterator[ast.expr]:
    match statement:
        case ast.Assign():
            yield from statement.targets
        case ast.AnnAssign() | ast.AugAssign():
            yield statement.target


def _named_by(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""
