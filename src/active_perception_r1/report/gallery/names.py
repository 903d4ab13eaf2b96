"""Names of the pictures beside a gallery: each is named after what is in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = "images"


def name_of(content: bytes, suffix: str) -> str:
    """The name of a picture's file inside of `FOLDER`: equal pictures have one, and are kept once.

    >>> name_of(b"pixels", "png")
    '6e/6ec9c2b0eb140107.png'
    """
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{digest[:2]}/{digest}.{suffix}"


def is_picture(path: Path) -> bool:
    """Whether a file is the picture of a gallery.

    >>> is_picture(Path("results/demo/report/gallery/images/6e/6ec9c2b0eb140107.png"))
    True
    """
    return path.match(f"gallery*/{FOLDER}/*/*")
