"""Fingerprints: equal when a thing means the same, whenever and wherever it was written.

Snakemake reruns a job when a parameter changes, but does not see the Python code behind a command.
So every rule carries the fingerprint of its stage's code as a parameter.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path

import active_perception_r1
from active_perception_r1.storage.files import sha256_of

PACKAGE = active_perception_r1.__name__
SOURCE = Path(active_perception_r1.__file__).parent.parent


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
def code_fingerprint(
    module: str, without: tuple[str, ...] = (), package: str = PACKAGE, source: Path = SOURCE
) -> str:
    """Over what `module` and all modules of the package that it imports, however far, do.

    Comments, docstrings, formatting and imports for type checkers do not count. Not seen are data
    files, third-party packages and modules imported under a computed name. Another minor version of
    Python gives other fingerprints.

    Args:
        module: name inside the package, such as `scoring.score`.
        without: modules inside the package that do not count, nor what only they import: those that
            this job does not run, or whose effect is fingerprinted as data.
        source: folder that holds the package.

    Raises:
        ModuleNotFoundError: the package has no such module.
    """
    name, left_out = f"{package}.{module}", [f"{package}.{other}" for other in without]
    for wanted in (name, *left_out):
        if _find(wanted, source) is None:
            raise ModuleNotFoundError(f"no module {wanted} in {source}")
    closure = import_closure(name, source, left_out)
    return fingerprint(*(f"{known} {_digest(path)}" for known, path in closure.items()))


def import_closure(
    module: str, source: Path = SOURCE, without: Collection[str] = ()
) -> dict[str, Path]:
    """The modules below `source` that run when `module` is imported or used, sorted by name.

    Imports inside functions count, and so does the `__init__` of every package on the way.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        for name in _with_parents(waiting.pop()):
            path = _find(name, source)
            if path and name not in found and name not in without:
                found[name] = path
                waiting += _imports(name, path)
    return dict(sorted(found.items()))


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


@functools.cache
def _find(name: str, source: Path) -> Path | None:
    base = source.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@functools.cache
def _imports(module: str, path: Path) -> set[str]:
    """Everything that a file imports; what is imported from a package may be a module of it."""
    parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return found


@functools.cache
def _digest(path: Path) -> str:
    return fingerprint(ast.dump(_tree(path)))


@functools.cache
def _tree(path: Path) -> ast.Module:
    """The syntax tree of a file, without what does nothing when it runs."""
    return _Essence().visit(ast.parse(path.read_bytes(), filename=str(path)))  # type: ignore[no-any-return]


class _Essence(ast.NodeTransformer):
    """Drops docstrings and `if TYPE_CHECKING:` blocks."""

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        self.generic_visit(node)
        for_checkers = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        return node.orelse if for_checkers else node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
