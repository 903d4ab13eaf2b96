"""A question and the episodes about it, with all that a gallery sorts and filters them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from active_perception_r1.modes import BASELINE, MODES, ORACLE
from active_perception_r1.records import Episode, Sample, ToolStatus
from active_perception_r1.scoring.diagnosis_row import HIT
from active_perception_r1.sim.live_reinjection import LiveEpisode


@dataclass(frozen=True, slots=True)
class Column:
    """Whose episodes stand below each other in a gallery: a model in a mode, for example.

    Attributes:
        opening, crops: what the first picture is, and what is special about the others.
        tool: the model may zoom. Else a reward, which is about zooms, says nothing.
    """

    model: str
    mode: str
    opening: str
    crops: str
    tool: bool


@dataclass(frozen=True, slots=True)
class Played:
    """An episode as it was recorded, and how it was paid.

    Attributes:
        start: the same episode at its first request, to be played again.
        reward: the parts of the reward by name; None after an error that is not the model's.
    """

    episode: Episode
    start: LiveEpisode
    right: bool
    reward: Mapping[str, float] | None

    @property
    def judged(self) -> bool:
        """The model was asked, and nothing else went wrong."""
        return self.reward is not None and self.episode.tool_status != ToolStatus.NO_EVIDENCE

    @property
    def outcome(self) -> str:
        episode = self.episode
        if episode.error:
            return "error"
        if episode.tool_status == ToolStatus.NO_EVIDENCE:
            return "not run"
        if self.right:
            return "right"
        return "no answer" if episode.answer is None else "wrong"

    @property
    def tokens(self) -> int | None:
        """Of the whole conversation, each text and image counted once; None if nobody knows."""
        if not self.episode.turns or not self.episode.turns[-1].prompt_tokens:
            return None
        last = self.episode.turns[-1]
        return last.prompt_tokens + last.completion_tokens


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an episode by its neighbours on the same question; empty is nothing.

    The names are those of `diagnosis.json` in words, and mean the same.

    Attributes:
        change: from the same model's baseline to this mode.
        trained: from the model that training started from to this one, in the same mode.
        zoom: whether the model looked, and whether a crop held the evidence.
        headroom: what became of a question that the baseline gets wrong and the oracle right.
    """

    change: str = ""
    trained: str = ""
    zoom: str = ""
    headroom: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with an episode for every column.

    Attributes:
        step: of training, in which it was asked; None outside of training.
    """

    sample: Sample
    played: Sequence[Played]
    facts: Sequence[Facts]
    step: int | None = None


def facts_of(
    entries: Sequence[tuple[str, str]],
    played: Sequence[Played],
    sample: Sample,
    started_from: Mapping[str, str],
) -> list[Facts]:
    """The facts of each episode about one question.

    Args:
        entries: model and mode of each.
        started_from: for each trained model, the one that it started from.
    """
    by_entry = dict(zip(entries, played, strict=True))
    found = []
    for (model, mode), one in by_entry.items():
        baseline = by_entry.get((model, BASELINE)) if mode != BASELINE else None
        start = by_entry.get((started_from.get(model, ""), mode))
        zoom = _zoom(one, sample) if MODES[mode].zooms_for_real else ""
        known = bool(sample.evidence)
        if oracle := by_entry.get((model, ORACLE)):
            known = oracle.judged and oracle.right
        found.append(
            Facts(
                _change(baseline, one),
                _change(start, one),
                zoom,
                _headroom(baseline, one, zoom) if known else "",
            )
        )
    return found


def _change(before: Played | None, after: Played) -> str:
    if before is None or not before.judged or not after.judged:
        return ""
    if before.right == after.right:
        return "right in both" if after.right else "wrong in both"
    return "gained" if after.right else "harmed"


def _zoom(one: Played, sample: Sample) -> str:
    if one.reward is None:
        return ""
    if not one.reward["shown"]:
        return "no zoom"
    if not sample.evidence:
        return "zoomed"
    return "hit" if one.reward["coverage"] >= HIT else "missed"


def _headroom(baseline: Played | None, one: Played, zoom: str) -> str:
    if baseline is None or not zoom or not (baseline.judged and one.judged) or baseline.right:
        return ""
    if one.right:
        return "gained"
    return {"hit": "misread", "zoomed": ""}.get(zoom, zoom)
