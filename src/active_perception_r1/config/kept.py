"""The checked configuration as a file, to which the commands of jobs refer."""

from __future__ import annotations

from pathlib import Path

from active_perception_r1.config.file import RESULTS, Config
from active_perception_r1.storage.files import atomic
from active_perception_r1.storage.fingerprint import fingerprint


def kept_path(config: Config) -> Path:
    """Where it is kept: each in a file of its own, so that no job finds another one."""
    return RESULTS / ".config" / f"{fingerprint(_text(config))}.json"


def keep(config: Config) -> None:
    """Write it, defaults filled in, unless it is there already."""
    path = kept_path(config)
    if not path.exists():
        with atomic(path) as part:
            part.write_text(_text(config), encoding="utf-8")


def _text(config: Config) -> str:
    return config.model_dump_json(indent=2) + "\n"
