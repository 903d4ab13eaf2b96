"""Things of one kind, found by name: every module of one folder defines one.

A new entry is a new file; nothing else has to know its name. Modules whose name begins with an
underscore hold what the entries share, and are none.
"""

from __future__ import annotations

import functools
import gc
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """The entries of a package by name, in alphabetical order; each is imported when asked for.

    >>> SYNTAXES: Registry[object] = Registry("active_perception_r1.utils.syntaxes", "SYNTAX")
    >>> "zoom_roi" in SYNTAXES, "zoom" in SYNTAXES
    (True, False)
    """

    def __init__(self, package: str, attribute: str) -> None:
        """
        Args:
            package: full name of the folder's package.
            attribute: what each of its modules calls the entry that it defines.
        """
        self.package = package
        self._attribute = attribute

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        with _collector_paused():
            module = import_module(f"{self.package}.{name}")
        entry: Any = getattr(module, self._attribute)
        return entry  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:  # without importing it
        return name in self._names

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        return names_in(self.package)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """What imports make stays; to look for garbage in it takes a fifth of the import of torch."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def names_in(package: str) -> tuple[str, ...]:
    """The names of a folder's entries, in alphabetical order; neither it nor they are imported.

    >>> names_in("active_perception_r1.report.exports")
    ('dataset', 'eval_results', 'inspect', 'space', 'sts')
    """
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{package}: no such package")
    names = (module.name for module in pkgutil.iter_modules(spec.submodule_search_locations))
    return tuple(sorted(name for name in names if not name.startswith("_")))
