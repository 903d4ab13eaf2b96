"""A reader of the words in an image that is none of the models that are measured."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from active_perception_r1.errors import UserError
from active_perception_r1.geometry import Box


class Word(NamedTuple):
    """A word that was read, and where: 0-1 of the image, x to the right, y down."""

    text: str
    box: Box


class Reader(Protocol):
    """Reads images.

    Attributes:
        revision: what it is and in which version: two readers of one revision read alike.
    """

    @property
    def revision(self) -> str: ...

    def read(self, image: Image.Image) -> Sequence[Word]:
        """The words of an RGB image, line by line, the lines in any order."""
        ...


class RapidOcr:
    """PP-OCRv6 (small) as RapidOCR's wheel brings it, on one core of the CPU, as it is by default.

    It finds lines in an image enlarged to 736 pixels on the shorter side (its default), and reads
    each line at a height of 48 pixels. It downloads nothing.

    Raises:
        UserError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            from rapidocr import RapidOCR

            packages = ("rapidocr", "onnxruntime")
            versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
        except ImportError as error:
            raise UserError(
                f"legibility needs the package {error.name}, which is not installed; run: pip"
                " install 'active-perception-r1[legibility]'"
            ) from None
        threads = "EngineConfig.onnxruntime.{}_op_num_threads"
        self.revision = " ".join(versions)
        self._ocr = RapidOCR(
            params={
                threads.format("intra"): 1,
                threads.format("inter"): 1,
                "Global.log_level": "error",
                "Global.return_word_box": True,
            }
        )

    def read(self, image: Image.Image) -> Sequence[Word]:
        found = self._ocr(np.asarray(image)[:, :, ::-1].copy())  # blue, green, red
        return [
            Word(text, _box(corners, image.size)) for text, corners in _texts(found) if text.strip()
        ]


def _texts(found: Any) -> Iterator[tuple[str, Any]]:
    """The words with their corners (4, 2), in pixels; of a line without words, the line."""
    lines = found.txts or ()
    words = found.word_results if len(found.word_results) == len(lines) else [()] * len(lines)
    for text, corners, line in zip(lines, found.boxes if lines else (), words, strict=True):
        if all(corner is not None for _, _, corner in line) and line:
            yield from ((word, corner) for word, _, corner in line)
        else:
            yield text, corners


def _box(corners: Any, size: tuple[int, int]) -> Box:
    points = np.clip(np.asarray(corners, dtype=float) / size, 0.0, 1.0)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))
