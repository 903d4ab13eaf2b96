"""The nouns of the system: what a sample is, what a model did on it, and how that is written.

All are frozen; all boxes are page coordinates (`geometry.Box`). `Episode.to_json` and
`Episode.from_json` are the format of a prediction line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from active_perception_r1.geometry import Box, coverage


class ToolStatus(StrEnum):
    """What became of one zoom call (first group) or of a whole episode (all).

    `no_evidence` is an oracle episode that could not be run, since nothing is known to show.
    """

    ZOOM_EXECUTED = "zoom_executed"
    MALFORMED_ZOOM = "malformed_zoom"
    INVALID_BBOX = "invalid_bbox"
    OUT_OF_BOUNDS = "out_of_bounds"
    TOO_SMALL = "too_small"
    ZOOM_LIMIT_REACHED = "zoom_limit_reached"

    ANSWERED = "answered"
    ANSWERED_WITHOUT_ZOOM = "answered_without_zoom"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    NO_EVIDENCE = "no_evidence"
    BACKEND_ERROR = "backend_error"
    DATA_ERROR = "data_error"

    @property
    def is_failure(self) -> bool:
        """Something other than the model went wrong: the engine, or the sample's data."""
        return self in (ToolStatus.BACKEND_ERROR, ToolStatus.DATA_ERROR)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A region that holds (part of) the answer.

    Regions with one `label` are alternatives: seeing any of them is enough. Regions with different
    labels are different parts of the evidence, of which each counts with its `weight`.

    Raises:
        ValueError: the weight is negative or no number.
    """

    label: str
    box: Box
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight must be a number of at least 0, not {self.weight}")


def evidence_coverage(crop: Box, evidence: Iterable[Evidence]) -> float:
    """Weighted share of the evidence that `crop` shows, in [0, 1]; 0 where no evidence is known.

    For each label the best covered alternative counts; labels are averaged by weight.

    >>> word = Evidence("answer", Box(0.0, 0.0, 0.1, 0.1))
    >>> again = Evidence("answer", Box(0.8, 0.8, 0.9, 0.9))
    >>> evidence_coverage(Box(0.5, 0.5, 1.0, 1.0), [word, again])
    1.0
    """
    best: dict[str, tuple[float, float]] = {}
    for region in evidence:
        shown = coverage(crop, region.box)
        if region.label not in best or shown > best[region.label][0]:
            best[region.label] = (shown, region.weight)
    total = sum(weight for _, weight in best.values())
    return sum(shown * weight for shown, weight in best.values()) / total if total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One question about one page, as a slice holds it.

    Attributes:
        image: the encoded page as stored in the dataset (PNG, JPEG, ...).
        width, height: of the page in pixels, EXIF orientation applied.
        answers: at least one accepted answer.
        evidence: empty when no evidence is known.
        requires_zoom: the answer cannot be read from the model's first view.
        layout: kind of page, for grouping; empty when unknown.
        options: to choose from, in the order of their letters; empty where the answer is free.
        cycle: names the order of the options, where a question is asked in several; else empty.
    """

    id: str
    doc_id: str
    image: bytes
    width: int
    height: int
    question: str
    answers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    requires_zoom: bool
    layout: str = ""
    options: tuple[str, ...] = ()
    cycle: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One zoom call as the model wrote it.

    Attributes:
        syntax: name of the call syntax that matched.
        raw: the text of the call.
        box: what it asks for, in page coordinates; None when `fault` is set.
        fault: `malformed_zoom` or `invalid_bbox` for a call that asks for no box.
        reason: why, in words a model or a user can act on.
    """

    syntax: str
    raw: str
    box: Box | None
    fault: ToolStatus | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One zoom call and what the environment did with it.

    Attributes:
        turn: index of the model turn that made the call.
        requested, executed: boxes in page coordinates; `executed` is what the crop really shows.
        crop_size: (width, height) in pixels of the crop as sent to the model.
        shown: the model has answered a request that contained the crop.
        redundant: it shows what an earlier crop of this episode had shown.
    """

    turn: int
    syntax: str
    raw: str
    status: ToolStatus
    reason: str = ""
    requested: Box | None = None
    executed: Box | None = None
    crop_size: tuple[int, int] | None = None
    shown: bool = False
    redundant: bool = False

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Step:
        """From the fields as `dataclasses.asdict` writes them; those with a default may lack.

        Raises:
            KeyError, TypeError, ValueError: a field is missing, unknown or not valid.
        """
        fields = dict(row)
        fields["status"] = ToolStatus(fields["status"])
        for name in ("requested", "executed"):
            if fields.get(name):
                fields[name] = Box(**fields[name])
        if fields.get("crop_size"):
            width, height = fields["crop_size"]
            fields["crop_size"] = (width, height)
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply of the model: `prompt_id` is the sha256 of everything it was shown until then.

    Attributes:
        prompt_tokens: of the whole conversation until then.
        visual_tokens: of these, those of its images; None if the engine could not tell.
        visual_tokens_estimated: they were not counted, but follow from the sizes of the images.
    """

    prompt_id: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    visual_tokens: int | None = None
    visual_tokens_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Episode:
    """All that happened on one sample; one line of a predictions file.

    Attributes:
        answer: the final answer, None when there is none that counts.
        tool_status: how the episode ended.
        error: message of an infrastructure error; such an episode is never scored as an answer.
    """

    sample_id: str
    mode: str
    model: str
    model_revision: str
    seed: int
    turns: tuple[Turn, ...]
    steps: tuple[Step, ...]
    answer: str | None
    tool_status: ToolStatus
    error: str = ""

    def to_json(self) -> str:
        """One line of JSON, without a line break."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Episode:
        """Inverse of `to_json`.

        Raises:
            ValueError: the line is not JSON or lacks a field.
        """
        try:
            row = json.loads(line)
            return cls(
                **{
                    **row,
                    "turns": tuple(Turn(**turn) for turn in row["turns"]),
                    "steps": tuple(Step.from_dict(step) for step in row["steps"]),
                    "tool_status": ToolStatus(row["tool_status"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an episode record: {error}") from error

    @property
    def shown_crops(self) -> tuple[Step, ...]:
        """Zooms that were executed and that the model saw, repeats included, in order."""
        return tuple(step for step in self.steps if step.executed is not None and step.shown)

    @property
    def crop_sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height in pixels of these."""
        return tuple(step.crop_size for step in self.shown_crops if step.crop_size is not None)
