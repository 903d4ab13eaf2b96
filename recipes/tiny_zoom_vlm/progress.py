"""How a training run is doing: shares of right tokens, and the difficulty that follows."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from active_perception_r1.data.synthetic import LAYOUTS
from recipes.tiny_zoom_vlm.curriculum import BATCHES, Difficulty
from recipes.tiny_zoom_vlm.packing import Kind

Counts = npt.NDArray[np.float64]
"""(batches, kinds, layouts, 2): tokens predicted right, and all of them."""


def no_counts() -> Counts:
    return np.zeros((len(BATCHES), len(Kind), len(LAYOUTS), 2))


def shares(counts: Counts) -> npt.NDArray[np.float64]:
    """Shares right (batches, kinds, layouts); 0 where there was nothing to predict."""
    right, total = counts[..., 0], counts[..., 1]
    result: npt.NDArray[np.float64] = right / np.maximum(total, 1)
    return result


def describe(counts: Counts) -> str:
    """The shares for the log, layouts side by side."""
    share = shares(counts)
    parts = []
    for i, batch in enumerate(BATCHES):
        for kind in Kind:
            if kind != Kind.FORMAT and counts[i, kind, :, 1].any():
                values = "/".join(f"{value:.2f}" for value in share[i, kind])
                parts.append(f"{batch} {kind.name.lower()} {values}")
    return ", ".join(parts)


class Curriculum:
    """Raises the difficulty when the model is ready: average over the last five steps above a bar.

    Attributes:
        settled_at: step at which every layout's places were known on full pages, or None.
    """

    _WINDOW = 5
    _READY, _KNOWN = 0.8, 0.9

    def __init__(self, first_side: float, last_side: float) -> None:
        self.difficulty = Difficulty(first_side, (1 / 6,) * len(LAYOUTS))
        self.settled_at: int | None = None
        self._last_side = last_side
        self._reading: deque[float] = deque(maxlen=self._WINDOW)
        self._places = [deque[float](maxlen=self._WINDOW) for _ in LAYOUTS]

    def update(self, step: int, counts: Counts) -> None:
        """Takes the counts of one step."""
        share = shares(counts)
        side, fullness = self.difficulty.reading_side, list(self.difficulty.fullness)
        self._reading.append(float(share[BATCHES.index("crops"), Kind.ANSWER].mean()))
        if self._mean(self._reading) > self._READY and side < self._last_side:
            side = min(self._last_side, side * 1.15)
            self._reading.clear()
        known = 0
        for i, window in enumerate(self._places):
            window.append(float(share[BATCHES.index("pages"), Kind.PLACE, i]))
            if fullness[i] >= 1:
                known += self._mean(window) > self._KNOWN
            elif self._mean(window) > self._READY:
                fullness[i] = min(1.0, fullness[i] + 1 / 6 + 1e-9)
                window.clear()
        if known == len(LAYOUTS) and self.settled_at is None:
            self.settled_at = step
        self.difficulty = Difficulty(side, tuple(fullness), self.settled_at is not None)

    def _mean(self, window: deque[float]) -> float:
        return sum(window) / len(window) if len(window) == self._WINDOW else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "reading_side": self.difficulty.reading_side,
            "fullness": list(self.difficulty.fullness),
            "settled_at": self.settled_at,
            "reading": list(self._reading),
            "places": [list(window) for window in self._places],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.settled_at = state["settled_at"]
        self.difficulty = Difficulty(
            state["reading_side"], tuple(state["fullness"]), self.settled_at is not None
        )
        self._reading.extend(state["reading"])
        for window, values in zip(self._places, state["places"], strict=True):
            window.extend(values)
