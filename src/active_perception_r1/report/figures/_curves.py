"""What was measured while a model was trained, for figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from active_perception_r1.errors import DataError

WINDOW = 5
"""Steps in the running mean; odd."""

Values = npt.NDArray[np.float64]


class Curve(NamedTuple):
    """A metric of a training run, at the steps at which it is known."""

    steps: Values
    values: Values


@dataclass(frozen=True, slots=True)
class Curves:
    """The metrics of a training run by the names in the file that they are from."""

    source: Path
    by_name: Mapping[str, Curve]

    def known(self, names: Iterable[str]) -> Mapping[str, Curve]:
        """Those of these metrics that the run has.

        Raises:
            DataError: it has none.
        """
        found = {name: self.by_name[name] for name in names if name in self.by_name}
        if not found:
            raise DataError(f"{self.source}: none of the metrics {', '.join(names)}; train again")
        return found


def read_curves(path: Path) -> Curves:
    """The metrics of a run (`metrics.jsonl`).

    A step that is there twice, since a run was resumed, counts as it was written last.

    Raises:
        DataError: the file is missing or damaged, or holds no step.
    """
    steps: dict[int, Mapping[str, Any]] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                step = json.loads(line)
                steps[int(step["step"])] = step
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{path}, line {number}: not a training step") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); train first") from None
    names = dict.fromkeys(name for step in steps.values() for name in step)
    points = {
        name: [(number, steps[number].get(name)) for number in sorted(steps)] for name in names
    }
    known = {
        name: [(step, value) for step, value in both if value is not None]
        for name, both in points.items()
    }
    return Curves(
        path,
        {
            name: Curve(*np.array(both, dtype=np.float64).T)
            for name, both in known.items()
            if both and name != "step"
        },
    )


def running_mean(values: Values) -> list[float]:
    """Mean of the window around each step, narrower at the ends, so that it does not lag."""
    half = WINDOW // 2
    return [float(values[max(0, i - half) : i + half + 1].mean()) for i in range(len(values))]
