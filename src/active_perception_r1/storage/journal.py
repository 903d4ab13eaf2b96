"""Records of a long job that outlive the job: what is saved is never computed again.

Snakemake deletes the declared outputs of a failed job, so records go to an undeclared file, from
which the output is written when all of them are there:

    header line    {"resume": key, "about": what made them}
    record lines   the record's id as a JSON string, a tab, the record (one line of any text)

The file stays when the output is written: a job that must run again, because Snakemake did not live
to note its end or because some records were left unsaved, takes up all that it holds.

A record is with the operating system when `append` returns, which no kill can undo, and on disk
within about a second. A kill leaves at most one torn line at the end, dropped on the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Self

from active_perception_r1.errors import UserError
from active_perception_r1.storage.files import atomic, named

SYNC_SECONDS = 1.0  # A sync takes milliseconds, about as long as a small model's answer.


@dataclass(frozen=True, slots=True)
class Kept:
    """What a journal holds: its records by id, their key, and what made them."""

    key: str
    about: Mapping[str, Any]
    records: Mapping[str, str]


class Journal:
    """The records saved so far under one key; a context manager that holds the file's lock.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with Journal(folder / "partial", key="settings 1") as store:
    ...     store.append("b", "2")
    >>> with Journal(folder / "partial", key="settings 1") as store:
    ...     print("b" in store, "a" in store)
    ...     store.append("a", "1")
    ...     store.finish(folder / "output", order=["a", "b"])
    True False
    >>> (folder / "output").read_text()
    '1\\n2\\n'
    """

    def __init__(
        self,
        path: Path,
        key: str,
        about: Mapping[str, Any] | None = None,
        beside: Iterable[Path] = (),
    ) -> None:
        """Open the store at `path`, or start it anew if it was written under another key.

        Args:
            key: fingerprint of everything that the records depend on.
            about: what made them, for `read_journal`.
            beside: other stores, whose records count as well where they are under the same key.
                They may be written to meanwhile.

        Raises:
            UserError: another process is writing to it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = open_locked(path)
        own, valid = _read(self._file.read())
        if own is None or own.key != key:
            own, valid = None, 0
        self._file.truncate(valid)
        self._synced = float("-inf")
        self._writing = threading.Lock()
        if own is None:
            self._write(_line(json.dumps({"resume": key, "about": dict(about or {})})))
        stores = [*map(read_journal, beside), own]
        self._records = dict(
            record for kept in stores if kept and kept.key == key for record in kept.records.items()
        )

    def __contains__(self, id: str) -> bool:
        return id in self._records

    def __len__(self) -> int:
        return len(self._records)

    def get(self, id: str) -> str | None:
        """The record with this id, if there is one."""
        return self._records.get(id)

    def append(self, id: str, record: str) -> None:
        """Save a record; a later one with the same id replaces it. Threads may do so together.

        Raises:
            ValueError: the record is more than one line.
        """
        if "\n" in record:
            raise ValueError(f"record {id} is more than one line")
        with self._writing:
            self._write(_line(f"{json.dumps(id)}\t{record}"))
            self._records[id] = record

    def finish(
        self,
        output: Path,
        order: Iterable[str],
        unsaved: Mapping[str, str] | None = None,
    ) -> None:
        """Write the records of the ids in `order` to `output`, whole or not at all.

        Args:
            unsaved: records by id that belong into the output and were never appended.

        Raises:
            KeyError: a record is missing.
        """
        records = self._records | dict(unsaved or {})
        with atomic(output) as part, part.open("wb") as file:
            file.writelines(_line(records[id]) for id in order)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the file."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise named(error, self._path) from None


def retry_file(path: Path) -> Path:
    """Beside the store at `path`: how often its output was left with records to make again.

    A parameter of the pipeline's rule. A run that leaves such records counts it up, so that it
    differs from what the run was started with, and the rule runs again; others do not touch it.
    """
    return path.with_suffix(".retry")


def replies_file(path: Path) -> Path:
    """Beside the store at `path`: replies of a served model, from which its records are made."""
    return path.with_suffix(".replies.jsonl")


def retries(path: Path) -> str:
    """What is in the `retry_file` of the store at `path`; empty if there is none."""
    file = retry_file(path)
    return file.read_text() if file.exists() else ""


def ask_for_retry(path: Path) -> None:
    """Have the pipeline run again the job whose store is at `path`."""
    file = retry_file(path)
    count = int(file.read_text()) if file.exists() else 0
    with atomic(file) as part:
        part.write_text(f"{count + 1}\n")


def open_locked(path: Path) -> FileIO:
    """Open for reading and appending; the kernel frees the lock when the process is gone.

    Raises:
        UserError: another process holds the lock.
    """
    file = path.open("a+b", buffering=0)  # A full disk is told at once, and not again by `close`.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(
            f"{path}: another process is still writing here; wait for it or end it, then run again"
        ) from None
    file.seek(0)
    return file


def read_journal(path: Path) -> Kept | None:
    """What is saved at `path`, whoever is writing to it; None if nothing is."""
    return _read(path.read_bytes())[0] if path.exists() else None


def _read(data: bytes) -> tuple[Kept | None, int]:
    """What is saved in `data`, and how many bytes of it are whole lines of this format."""
    head, *lines = data.split(b"\n")[:-1] or [b""]  # What follows the last line break is torn.
    try:
        header = json.loads(head)
        key, about = header["resume"], header.get("about", {})
    except (ValueError, KeyError, TypeError):
        return None, 0
    records: dict[str, str] = {}
    valid = len(head) + 1
    for line in lines:
        try:
            id, _, record = line.decode().partition("\t")
            records[json.loads(id)] = record
        except ValueError:  # Lost with the power: nothing after it can be trusted.
            break
        valid += len(line) + 1
    return Kept(key, about, records), valid


def _line(text: str) -> bytes:
    return text.encode() + b"\n"
