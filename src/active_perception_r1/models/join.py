"""One file of predictions from those of the jobs that a slice was split into."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from active_perception_r1.data.samples import read_slice
from active_perception_r1.errors import DataError
from active_perception_r1.storage.files import atomic, write_json


def join(parts: Sequence[Path], slice_path: Path, output: Path) -> None:
    """Write what one job would have written, and beside it what made it.

    Args:
        parts: predictions of all shards, in the order of their numbers.

    Raises:
        DataError: a part cannot be read, is not about the slice, or is of another revision of the
            model.
    """
    about = _joined(parts, output)
    with atomic(output) as joined, joined.open("wb") as file:
        file.writelines(_lines(parts, slice_path))
    write_json(output.with_suffix(".json"), about)


def _lines(parts: Sequence[Path], slice_path: Path) -> Iterator[bytes]:
    with ExitStack() as stack:
        files = [stack.enter_context(part.open("rb")) for part in parts]
        for place, sample in enumerate(read_slice(slice_path, images=False)):
            row, number = divmod(place, len(parts))
            line = files[number].readline()
            if not line or json.loads(line)["sample_id"] != sample.id:
                raise DataError(
                    f"{parts[number]}, line {row + 1}: not about sample {sample.id};"
                    " run infer again"
                )
            yield line
        for part, file in zip(parts, files, strict=True):
            if file.readline():
                raise DataError(f"{part}: more lines than samples; run infer again")


def _joined(parts: Sequence[Path], output: Path) -> dict[str, Any]:
    """What made all of them; tokens and loads are summed."""
    abouts = [json.loads(part.with_suffix(".json").read_bytes()) for part in parts]
    if len(revisions := {about["revision"] for about in abouts}) > 1:
        raise DataError(
            f"{output}: its shards are of different revisions of the model"
            f" ({', '.join(sorted(revisions))}); set revision in its entry, and run again"
        )
    tokens = {kind: sum(about["tokens"][kind] for about in abouts) for kind in abouts[0]["tokens"]}
    return {**abouts[0], "tokens": tokens, "loads": sum(about["loads"] for about in abouts)}
