"""The reward: was the answer right, and was the looking meaningful.

Per episode, with E the known evidence, n_x the number of zoom calls of kind x, and the maximum over
crops that were executed and shown to the model:

    tight(b)  = 1                                            if area(b) <= tight_area
                (max_area - area(b)) / (max_area - tight_area), clipped to [0, 1], otherwise
    relevance = max over crops b of coverage(b, E) * tight(b);  0 when E is unknown
    faults    = min(max_faults, malformed * n_malformed + invalid * n_invalid
                                + redundant * n_redundant)
    process   = relevance - faults        if a crop was shown
                -unlooked - faults        if none was and the task needs a zoom
                -faults                   otherwise;         clipped to [-1, 1]
    score     = 1 + correct_weight * process   if the answer is correct
                wrong_weight * process         if it is wrong

n_invalid counts boxes that are invalid, out of bounds or too small; n_redundant counts repeats of an
earlier crop and zooms over the limit. The maximum, never a sum, makes repeats worthless, and the
weights keep every wrong trace below every correct one: with the defaults a wrong one scores at most
0.10 and a correct one at least 0.65. The formula is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from active_perception_r1.answers import exact_match
from active_perception_r1.geometry import iou
from active_perception_r1.records import (
    Episode,
    Evidence,
    Sample,
    Step,
    ToolStatus,
    evidence_coverage,
)


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Constants of the formula above; a section of the configuration file.

    Raises:
        ValueError: the constants would let a wrong trace reach a correct one, or a shape is off.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    correct_weight: float = 0.35
    wrong_weight: float = 0.10
    tight_area: float = 0.25
    max_area: float = 0.65
    malformed: float = 0.25
    invalid: float = 0.25
    redundant: float = 0.10
    max_faults: float = 0.5
    unlooked: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.tight_area < self.max_area <= 1:
            raise ValueError("tight_area must be below max_area, both in [0, 1]")
        penalties = (self.malformed, self.invalid, self.redundant, self.max_faults, self.unlooked)
        if min(self.correct_weight, self.wrong_weight, *penalties) < 0:
            raise ValueError("weights and penalties must not be negative")
        if 1 - self.correct_weight <= self.wrong_weight:
            raise ValueError("1 - correct_weight must exceed wrong_weight, or a lie can pay")


@dataclass(frozen=True, slots=True)
class Reward:
    """A score and what it is made of; counts are of zoom calls."""

    score: float
    correct: bool
    process: float
    relevance: float
    faults: float
    coverage: float
    iou: float
    calls: int
    shown: int
    relevant: int
    malformed: int
    invalid: int
    out_of_bounds: int
    redundant: int


def episode_reward(
    episode: Episode, sample: Sample, config: RewardConfig = RewardConfig()
) -> Reward:
    """The reward of an episode on its sample."""
    correct = episode.answer is not None and exact_match(episode.answer, sample.answers)
    return trace_reward(episode.steps, correct, sample.evidence, sample.requires_zoom, config)


def trace_reward(
    steps: Sequence[Step],
    correct: bool,
    evidence: Sequence[Evidence],
    requires_zoom: bool,
    config: RewardConfig = RewardConfig(),
) -> Reward:
    """The reward of a list of zoom calls together with the correctness of the answer.

    >>> trace_reward([], correct=True, evidence=[], requires_zoom=False).score
    1.0
    >>> trace_reward([], correct=True, evidence=[], requires_zoom=True).score
    0.825
    """
    shown = [step.executed for step in steps if step.executed is not None and step.shown]
    malformed = _count(steps, ToolStatus.MALFORMED_ZOOM)
    out_of_bounds = _count(steps, ToolStatus.OUT_OF_BOUNDS)
    invalid = _count(steps, ToolStatus.INVALID_BBOX) + _count(steps, ToolStatus.TOO_SMALL)
    redundant = sum(step.redundant for step in steps)
    faults = min(
        config.max_faults,
        config.malformed * malformed
        + config.invalid * (invalid + out_of_bounds)
        + config.redundant * (redundant + _count(steps, ToolStatus.ZOOM_LIMIT_REACHED)),
    )
    coverages = [evidence_coverage(box, evidence) for box in shown]
    relevance = max(
        (c * _tightness(box.area, config) for c, box in zip(coverages, shown, strict=True)),
        default=0.0,
    )
    if shown:
        process = relevance - faults
    else:
        process = -faults - (config.unlooked if requires_zoom else 0.0)
    process = max(-1.0, min(1.0, process))
    return Reward(
        score=1 + config.correct_weight * process if correct else config.wrong_weight * process,
        correct=correct,
        process=process,
        relevance=relevance,
        faults=faults,
        coverage=max(coverages, default=0.0),
        iou=max((iou(box, e.box) for box in shown for e in evidence), default=0.0),
        calls=len(steps),
        shown=len(shown),
        relevant=sum(c > 0 for c in coverages),
        malformed=malformed,
        invalid=invalid,
        out_of_bounds=out_of_bounds,
        redundant=redundant,
    )


def _count(steps: Sequence[Step], status: ToolStatus) -> int:
    return sum(step.status is status for step in steps)


def _tightness(area: float, config: RewardConfig) -> float:
    """1 for a crop that singles something out, falling to 0 for one of (nearly) the whole page."""
    if area <= config.tight_area:
        return 1.0
    return max(0.0, (config.max_area - area) / (config.max_area - config.tight_area))
