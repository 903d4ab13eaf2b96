"""Prediction files, one episode a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from active_perception_r1.errors import DataError
from active_perception_r1.records import Episode


def read_predictions(path: Path) -> Iterator[Episode]:
    """The episodes of a predictions file, one line at a time.

    Raises:
        DataError: the file is missing, or a line is not an episode.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield Episode.from_json(line)
                except ValueError as error:
                    raise DataError(f"{path}, line {number}: {error}; run infer again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run infer first") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}); run infer again") from None
