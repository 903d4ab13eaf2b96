"""How datasets are read: one file a source, named as its section in `config.sources`."""

from typing import Any

from active_perception_r1.data.sources._reader import Reader
from active_perception_r1.registry import Registry

READERS: Registry[Reader[Any]] = Registry(__name__, "READER")

__all__ = ["READERS", "Reader"]
