"""Large parts of an output that outlive the job which makes them, as `storage.journal` has records.

Parts are files in an undeclared folder, numbered from 0. The output is put together from them when
all are there; they take as much room as it, so they are removed then.

A part is there whole or not at all, and on disk when it is there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from active_perception_r1.storage.files import atomic, named
from active_perception_r1.storage.journal import open_locked


class ChunkStore:
    """The parts saved so far under one key; a context manager that holds their lock.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "partial"
    >>> with ChunkStore(folder, key="settings 1") as store:
    ...     with store.next() as path:
    ...         _ = path.write_text("first")
    >>> with ChunkStore(folder, key="settings 1") as store:
    ...     print([part.read_text() for part in store.parts])
    ...     store.remove()
    ['first']
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Open the store at `folder`, or start it anew if it was written under another key.

        Args:
            key: fingerprint of everything that the parts depend on.

        Raises:
            UserError: another process is writing to it.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = open_locked(folder / "lock")
        header = json.dumps({"resume": key}).encode()
        if self._lock.read() != header:
            self._lock.truncate(0)
            for part in folder.glob("[0-9]*"):
                part.unlink()
            try:
                self._lock.write(header)
            except OSError as error:
                raise named(error, folder / "lock") from None
        self.parts = sorted(folder.glob("[0-9]*"))

    @contextmanager
    def next(self) -> Iterator[Path]:
        """A path to write the next part to, which is saved when the block ends without an error."""
        part = self._folder / f"{len(self.parts):06d}"
        with atomic(part) as path:
            yield path
            with path.open("rb") as file:
                os.fsync(file.fileno())
        self.parts.append(part)

    def remove(self) -> None:
        """Forget all parts: what they were for is done."""
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()
