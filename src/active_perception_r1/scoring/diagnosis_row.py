"""What a diagnosis consists of; what each share means is documented in `scoring.diagnosis`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from active_perception_r1.errors import DataError

HIT = 0.5  # As InSight-doc's evidence-coverage hit.
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with its 95 % interval; the share is None of nothing."""

    count: int
    of: int
    share: float | None
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True)
class TextSize:
    """Samples whose evidence is `low` to below `high` pixels high in the first view."""

    low: float
    high: float | None
    baseline: Share
    mode: Share
    zoomed: Share


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One model in one mode.

    Attributes:
        n: questions that both the mode and the baseline have answered.
        n_errors: questions left out, since one of them ended in an error.
        coverage, area: at `QUANTILES`.
        necessity: as `scoring.necessity` says; `tool_only_beside` are the modes of `tool_only`.
    """

    model: str
    mode: str
    n: int
    n_errors: int
    effects: Mapping[str, Share]
    accuracy: Mapping[str, Share]
    coverage: list[float]
    area: list[float]
    redundant: Share
    text_size: list[TextSize]
    headroom_by: str
    headroom: Mapping[str, Share]
    necessity: Mapping[str, Share]
    tool_only_beside: Sequence[str]


_ROWS = TypeAdapter(list[Diagnosis])


def read_diagnosis(path: Path) -> list[Diagnosis]:
    """The rows of a `diagnosis.json`.

    Raises:
        DataError: the file is missing, damaged, or of another version.
    """
    try:
        return _ROWS.validate_python(json.loads(path.read_bytes())["rows"])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run diagnose") from None
    except (ValidationError, ValueError, TypeError, KeyError):
        raise DataError(f"{path}: not a diagnosis of this version; run diagnose again") from None
