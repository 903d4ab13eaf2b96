"""How many answers of a slice another reader can read: the headroom, before a model is run.

A probe and no model: see `data.legibility` for what counts as legible.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from active_perception_r1.data.legibility import legible_in_crop, legible_in_view
from active_perception_r1.data.readings import Readings
from active_perception_r1.data.samples import read_slice, slice_length
from active_perception_r1.errors import DataError
from active_perception_r1.records import Sample
from active_perception_r1.scoring.formats import share
from active_perception_r1.scoring.intervals import share_interval
from active_perception_r1.storage.files import write_json

FIRST_VIEW, CROP = "first view", "evidence crop"
CROP_PIXELS = 100_352
"""Of a crop, if not told otherwise: enlarged much more, three words are hard for this reader."""

_SEES: dict[str, Callable[[Readings, Sample, int], bool]] = {
    FIRST_VIEW: legible_in_view,
    CROP: legible_in_crop,
}


@dataclass(frozen=True, slots=True)
class Legibility:
    """How many answers are legible in one view of a slice's pages.

    Attributes:
        view: FIRST_VIEW or CROP.
        pixels: its budget.
        n: questions; for CROP, those whose evidence is known.
        legible: share of them; null where there are none.
        ci_low, ci_high: its 95 % interval, as the leaderboard gives accuracy.
        n_requires_zoom, legible_requires_zoom: of the questions that need a zoom by the slice.
        n_no_zoom, legible_no_zoom: of the others.
    """

    view: str
    pixels: int
    n: int
    legible: float | None
    ci_low: float | None
    ci_high: float | None
    n_requires_zoom: int
    legible_requires_zoom: float | None
    n_no_zoom: int
    legible_no_zoom: float | None


@dataclass(frozen=True, slots=True)
class _Answered:
    """A question, and whether it is legible in each view and budget; None where there is none."""

    id: str
    doc_id: str
    requires_zoom: bool
    legible: dict[tuple[str, int], bool | None]


def measure(
    slice_path: Path, budgets: Sequence[int], output: Path, crop_pixels: int = CROP_PIXELS
) -> list[Legibility]:
    """Reads the views of a slice's questions; writes JSON, with a line for every question.

    What was read is kept beside `output`, so that no image is read again.

    Args:
        budgets: pixels of the first views.
        crop_pixels: of the crops.

    Raises:
        DataError: the slice or a page cannot be read, or the slice is empty.
        UserError: the reader is not installed.
    """
    with Readings(kept_beside(output)) as readings:
        views = [(FIRST_VIEW, pixels) for pixels in sorted(set(budgets))]
        answered = _read_all(slice_path, [*views, (CROP, crop_pixels)], readings)
    if not answered:
        raise DataError(f"{slice_path}: no question")
    rows = [_row(view, pixels, answered) for view, pixels in answered[0].legible]
    write_json(
        output,
        {
            "slice": str(slice_path),
            "reader": readings.revision,
            "views": [asdict(row) for row in rows],
            "questions": [_question(one) for one in answered],
        },
    )
    return rows


def kept_beside(output: Path) -> Path:
    """Where readings are kept."""
    return output.with_suffix(".readings")


def _read_all(
    slice_path: Path, conditions: Sequence[tuple[str, int]], readings: Readings
) -> list[_Answered]:
    total = slice_length(slice_path) * len(conditions)
    answered = []
    with tqdm(total=total, desc="legibility", unit="view") as bar:
        for sample in read_slice(slice_path):
            legible: dict[tuple[str, int], bool | None] = {}
            for view, pixels in conditions:
                shown = view != CROP or sample.evidence
                legible[view, pixels] = _SEES[view](readings, sample, pixels) if shown else None
                bar.update()
            answered.append(_Answered(sample.id, sample.doc_id, sample.requires_zoom, legible))
    return answered


def _row(view: str, pixels: int, answered: Sequence[_Answered]) -> Legibility:
    asked = [one for one in answered if one.legible[view, pixels] is not None]
    right = [bool(one.legible[view, pixels]) for one in asked]
    needed = [one.requires_zoom for one in asked]
    small = [legible for legible, need in zip(right, needed, strict=True) if need]
    large = [legible for legible, need in zip(right, needed, strict=True) if not need]
    interval = share_interval(right, [one.doc_id for one in asked]) if asked else None
    return Legibility(
        view=view,
        pixels=pixels,
        n=len(asked),
        legible=_mean(right),
        ci_low=interval and interval.low,
        ci_high=interval and interval.high,
        n_requires_zoom=len(small),
        legible_requires_zoom=_mean(small),
        n_no_zoom=len(large),
        legible_no_zoom=_mean(large),
    )


def _mean(right: Sequence[bool]) -> float | None:
    return float(np.mean(right)) if right else None


def _question(one: _Answered) -> dict[str, object]:
    legible: dict[str, dict[str, bool | None]] = {view: {} for view in _SEES}
    for (view, pixels), seen in one.legible.items():
        legible[view][str(pixels)] = seen
    about = {"id": one.id, "doc_id": one.doc_id, "requires_zoom": one.requires_zoom}
    return about | {"legible": legible}


def as_table(rows: Sequence[Legibility]) -> list[dict[str, str]]:
    """The rows for people."""
    return [
        {
            "View": row.view,
            "Pixels": f"{row.pixels:,}",
            "n": str(row.n),
            "Legible": share(row.legible),
            "95 % interval": f"{share(row.ci_low)} to {share(row.ci_high)}",
            "where a zoom is required": f"{share(row.legible_requires_zoom)} of"
            f" {row.n_requires_zoom}",
            "elsewhere": f"{share(row.legible_no_zoom)} of {row.n_no_zoom}",
        }
        for row in rows
    ]


def read_legibility(path: Path) -> list[Legibility]:
    """The rows that `measure` wrote.

    Raises:
        DataError: the file cannot be read, or is another one.
    """
    try:
        views = json.loads(path.read_text(encoding="utf-8"))["views"]
        return [Legibility(**view) for view in views]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not what `legibility` wrote ({error})") from None
