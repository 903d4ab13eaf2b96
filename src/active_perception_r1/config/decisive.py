"""Which keys of a section decide results, and which say how fast, where and how patiently."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Decisive:
    """The keys of a section, each in one of these lists; `section.key` for one inside of another.

    A name stands for everything below it. A key that is in no list does not count: a new one
    reruns nothing. One that comes to decide a result is listed under `added`, with the value that
    means what was done before it came. It counts only where its value is another one, so that it
    reruns nothing either, and a default that is changed later reruns whatever uses it.

    >>> Decisive(("seed",), added={"top_k": 0}).of({"seed": 1, "gpus": 2, "top_k": 0})
    {'seed': 1}

    Attributes:
        keys: count with their values.
        mechanism: change no result.
        otherwise: count in another form, which whoever uses this list has to add.
        added: count where their values are not these.
    """

    keys: tuple[str, ...]
    mechanism: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    added: Mapping[str, object] = field(default_factory=dict)

    def of(self, section: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
        """The keys that count, with their values.

        Args:
            section: as plain data.
            without: what does not count this time.
        """
        return {
            key: value
            for key, value in flat(section)
            if not among(key, without)
            and (among(key, self.keys) or (key in self.added and self.added[key] != value))
        }


def flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Its keys and those of the sections in it, by their whole names.

    >>> dict(flat({"seed": 1, "vllm": {"eager": True}}))
    {'seed': 1, 'vllm.eager': True}
    """
    for key, value in section.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def among(key: str, names: Collection[str]) -> bool:
    """Whether one of the names stands for the key."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
