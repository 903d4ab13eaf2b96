"""How the rows of a dataset are laid out: one file a format."""

from active_perception_r1.data.formats._format import (
    About,
    BadRow,
    Folder,
    Format,
    Opened,
    Split,
    Table,
)
from active_perception_r1.registry import Registry

FORMATS: Registry[Format] = Registry(__name__, "FORMAT")

__all__ = ["FORMATS", "About", "BadRow", "Folder", "Format", "Opened", "Split", "Table"]
