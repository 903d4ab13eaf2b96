"""What a reader has read, kept: no image is read twice, by whomever and however often killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from PIL import Image

from active_perception_r1.data.reader import RapidOcr, Reader, Word
from active_perception_r1.geometry import Box
from active_perception_r1.storage.fingerprint import fingerprint
from active_perception_r1.storage.journal import Journal

_DIGITS = 5  # of a coordinate


class Readings:
    """A reader that remembers; a context manager that holds the lock of its file.

    An image is known by its pixels, so that it does not matter which code has made it.

    Args:
        path: of the file; it is begun anew if another revision of the reader has written it.
        reader: RapidOCR if none is given.

    Raises:
        UserError: the reader is not installed, or another process is writing to the file.
    """

    def __init__(self, path: Path, reader: Reader | None = None) -> None:
        self._reader = reader or RapidOcr()
        self.revision = self._reader.revision
        self._store = Journal(path, fingerprint(self.revision))

    def words(self, image: Image.Image) -> Sequence[Word]:
        """The words of an RGB image, as `Reader.read` gives them."""
        key = _hash(image)
        record = self._store.get(key)
        if record is None:
            words = self._reader.read(image)
            boxes = ([round(side, _DIGITS) for side in word.box.as_tuple()] for word in words)
            texts = (word.text for word in words)
            record = json.dumps(list(zip(texts, boxes, strict=True)), ensure_ascii=False)
            self._store.append(key, record)
        return [Word(text, Box(*sides)) for text, sides in json.loads(record)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _hash(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
