"""How splits are read: one file a source, named as its section in `config.sources`."""

from active_perception_r1.data.sources._reader import Reader, Source
from active_perception_r1.registry import Registry

READERS: Registry[Reader] = Registry(__name__, "open_split")

__all__ = ["READERS", "Reader", "Source"]
