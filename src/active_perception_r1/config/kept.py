"""The configuration as the pipeline uses it: checked, and kept in a file for its jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from active_perception_r1.config.file import RESULTS, Config, load_over
from active_perception_r1.errors import ConfigError, UserError
from active_perception_r1.storage.files import atomic
from active_perception_r1.storage.fingerprint import fingerprint


def usable_config(own: Path, above: Mapping[str, Any]) -> Config:
    """The checked configuration, as `load_over`.

    Raises:
        UserError: it is wrong, or results cannot be written.
    """
    try:
        config = load_over(own, above)
    except ConfigError as error:
        raise ConfigError(f"configuration: {error}") from None
    if RESULTS.exists() and not (RESULTS.is_dir() and os.access(RESULTS, os.W_OK | os.X_OK)):
        raise UserError(
            f"{RESULTS}: not a folder that can be written to; give access to it, or work in a copy"
        )
    return config


def kept_path(config: Config) -> Path:
    """Where jobs find a configuration: each in a file of its own, which never changes."""
    return RESULTS / ".config" / f"{fingerprint(_text(config))}.json"


def keep(config: Config) -> None:
    """Write it, defaults filled in, unless it is there already."""
    path = kept_path(config)
    if not path.exists():
        with atomic(path) as part:
            part.write_text(_text(config), encoding="utf-8")


def _text(config: Config) -> str:
    return config.model_dump_json(indent=2) + "\n"
