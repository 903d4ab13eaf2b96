"""A dataset as a few words on a command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from active_perception_r1.config.file import parse_section
from active_perception_r1.config.sources import SOURCES, Dataset, DatasetConfig
from active_perception_r1.errors import ConfigError


def dataset_meant_by(
    text: str, split: str = "test", samples: int = 1, keys: Mapping[str, Any] | None = None
) -> Dataset:
    """The dataset of the source that the text means.

    Args:
        split, samples: which questions, and how many, are going to be asked.
        keys: further keys of its section.

    Raises:
        ConfigError: it means none, or a key or value cannot be used.
    """
    for source in SOURCES.values():
        entry = source.meant_by(text, split, samples)
        if entry is not None:
            return parse_section(DatasetConfig, json.dumps({**entry, **(keys or {})}))
    raise ConfigError(
        f"'{text}' is no file or folder here, no owner/name on the hub, and no source that needs"
        " no name"
    )


def columns_entry(texts: Iterable[str]) -> dict[str, Any]:
    """A section `columns` from KEY=NAME, with commas between several names.

    Raises:
        ConfigError: one has another form.

    >>> columns_entry(["id=nr", "options=A,B"])
    {'id': 'nr', 'options': ['A', 'B']}
    """
    columns: dict[str, Any] = {}
    for text in texts:
        key, equals, name = text.partition("=")
        if not (equals and key and name):
            raise ConfigError(f"--columns: '{text}' is not KEY=NAME")
        columns[key] = name.split(",") if "," in name else name
    return columns
