"""What became of every episode of a training step, one JSON line each: a reward, or an error.

verl goes on without the episodes that fail, so what it reports is of the others only. The lines are
what its batches can be counted by.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ERROR = "error"


@dataclass(frozen=True, slots=True)
class StepEpisodes:
    """The lines of a step.

    Attributes:
        rewarded: of the episodes that came to an end.
        errors: why the others did not.
    """

    rewarded: tuple[Mapping[str, Any], ...]
    errors: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The most frequent error, in one line; empty if none was seen."""
        if not self.errors:
            return ""
        ((error, times),) = Counter(self.errors).most_common(1)
        return f"{error} ({times} times)"


@dataclass(frozen=True, slots=True)
class EpisodeTally:
    """`folder`/{step}.jsonl, which several processes may write to at once."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, validation: bool) -> EpisodeTally:
        """That of the training episodes of a run, or of those that it is validated by."""
        return cls(folder / "validation" if validation else folder)

    def rewind(self, step: int) -> None:
        """Drop what comes after `step`: those steps run again."""
        for path in self.folder.glob("*.jsonl"):
            if int(path.stem) > step:
                path.unlink()

    def path(self, step: int) -> Path:
        return self.folder / f"{step}.jsonl"

    def append(self, step: int, line: Mapping[str, Any]) -> None:
        """One write to a file opened for appending, so that lines of processes do not mix."""
        with self.path(step).open("ab", buffering=0) as file:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def failed(self, step: int, sample_id: str, error: Exception) -> None:
        """Note an episode that comes to no end."""
        told = " ".join(f"{type(error).__name__}: {error}".split())
        self.append(step, {"id": sample_id, ERROR: told})

    def read(self, step: int) -> StepEpisodes:
        """What was written of a step; nothing if there is no file.

        While others write, the last line may be there in part, and is then left for the next time.
        """
        path = self.path(step)
        written = path.read_bytes() if path.exists() else b""
        # Bytes: a text would be split where a model wrote a separator of lines, such as U+2028.
        rows = [json.loads(line) for line in written.split(b"\n")[:-1]]
        return StepEpisodes(
            rewarded=tuple(row for row in rows if ERROR not in row),
            errors=tuple(row[ERROR] for row in rows if ERROR in row),
        )
