"""Fingerprints: equal when a thing means the same, whenever and wherever it was written."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path

from active_perception_r1.storage.files import sha256_of

TABLES = (
    "BACKENDS",
    "ENGINES",
    "FAMILIES",
    "FORMATS",
    "METRICS",
    "MODES",
    "PROMPT_SETS",
    "READERS",
    "SOURCES",
    "SYNTAXES",
    "TASKS",
)
"""Of a table, the entries in use count, each by its own module, and not which others there are."""


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


@functools.cache  # Snakemake asks for every job
def module_fingerprint(path: Path) -> str:
    """Over what a file of Python code does when it runs.

    Comments, docstrings and formatting do not count, nor do top-level assignments to TABLES.
    Another minor version of Python gives other fingerprints.
    """
    tree = ast.parse(path.read_bytes(), filename=str(path))
    return fingerprint(ast.dump(_Essence().visit(tree)))


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
    match statement:
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            pass
        case ast.AugAssign(target=target):
            pass
        case _:
            return False
    if isinstance(target, ast.Subscript):
        target = target.value
    return isinstance(target, ast.Name) and target.id in TABLES
