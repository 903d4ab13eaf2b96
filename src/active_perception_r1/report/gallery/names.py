"""Names of the pictures beside a gallery: each is named after what is in it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

FOLDER = "images"
_NAMED = re.compile(r'(?<!\\)\\"([0-9a-f]{2}/[0-9a-f]{16}\.(?:png|jpg|webp))\\"')


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


def named_in(data: str) -> set[str]:
    r"""The pictures that a file of a gallery's data names, which is JSON inside of a text.

    >>> named_in(r'receive("questions-0", "[\"6e/6ec9c2b0eb140107.png\",112,112]");')
    {'6e/6ec9c2b0eb140107.png'}
    """
    return set(_NAMED.findall(data))
