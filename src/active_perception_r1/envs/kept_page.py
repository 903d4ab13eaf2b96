"""The pages of episodes in progress, which stay decoded as long as there is room for them.

A page of 8 MB has 35 million pixels, 140 MB of them; a hundred episodes may be in progress.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from threading import RLock

from PIL import Image

from active_perception_r1.envs.encoded_page import open_page

ROOM = 2**31
"""Bytes of pixels that this process keeps; a page beyond them is decoded whenever it is needed."""


class KeptPage:
    """A page that an episode may cut from.

    Args:
        page: RGB; not to be changed.
        encoded: of which `open_page` makes it again; without it, it is kept in any case.

    Attributes:
        size: width and height in pixels.
    """

    def __init__(self, page: Image.Image, encoded: bytes | None = None) -> None:
        self.size = page.size
        size = 4 * page.width * page.height  # Pillow has a fourth byte beside red, green and blue
        self._open: Callable[[], Image.Image] = lambda: page
        if encoded is None:
            return
        if _room.take(size):
            weakref.finalize(self, _room.give_back, size).atexit = False
        else:
            self._open = partial(open_page, encoded)

    @property
    def image(self) -> Image.Image:
        """Its pixels."""
        return self._open()


class _Room:
    def __init__(self) -> None:
        self._lock = RLock()  # what is given back may be so while something is taken
        self._taken = 0

    def take(self, size: int) -> bool:
        """Whether there is so much, which then is taken."""
        with self._lock:
            if self._taken + size > ROOM:
                return False
            self._taken += size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._taken -= size


_room = _Room()
