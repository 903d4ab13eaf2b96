"""What a gallery shows, as the plain data that its script reads.

Predictions hold no pixels. So each episode is played again with the replies that were recorded, on
the state machine that inference uses, and what it would have put in front of the model is taken
from there; the recorded hash of every request tells whether it is exactly what the model saw.

What the list needs is in one file, as columns: `columns` of numbers and texts, one for each
question or each episode, question by question in the order of the gallery's columns. What is shown
of a chosen episode is in chunks of some questions, which are read when they are needed; what models
wrote is once more in a file of its own, for those who search in it. Keys never come from the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from active_perception_r1.geometry import Box
from active_perception_r1.records import Step
from active_perception_r1.report.conversations import replay
from active_perception_r1.report.gallery.pictures import Pictures
from active_perception_r1.report.gallery.questions import Asked, Column, Facts, Played
from active_perception_r1.rewards.active_vision_reward import TERMS
from active_perception_r1.sim.messages import Message

Data = dict[str, Any]

QUESTIONS_OF_A_CHUNK = 20
_REWARD = {**TERMS, "coverage": "coverage of the evidence"}
"""What is shown of an episode's reward, and what it is called."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """What there is to be shown.

    Attributes:
        about: one sentence, on which questions are there.
        questions: to be gone through once.
    """

    title: str
    about: str
    columns: Sequence[Column]
    questions: Iterable[Asked]


@dataclass(slots=True)
class Index:
    """What the list of episodes needs; it grows with every question."""

    questions: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: [] for name in ("id", "page", "question", "answers", "layout", "needs", "step")
        }
    )
    episodes: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                *("answer", "outcome", "status", "zooms", "coverage", "reward", "tokens"),
                *("change", "trained", "zoom", "headroom"),
            )
        }
    )
    replies: list[str] = field(default_factory=list)

    def add(self, asked: Asked, columns: Sequence[Column]) -> None:
        sample = asked.sample
        row = {
            "id": sample.id,
            "page": sample.doc_id,
            "question": sample.question,
            "answers": list(sample.answers),
            "layout": sample.layout,
            "needs": sample.requires_zoom,
            "step": asked.step,
        }
        for name, value in row.items():
            self.questions[name].append(value)
        for played, facts, column in zip(asked.played, asked.facts, columns, strict=True):
            reward = played.reward if column.tool else None
            for name, value in _facts(played, reward, facts, bool(sample.evidence)).items():
                self.episodes[name].append(value)
            self.replies.append("\n".join(turn.text for turn in played.episode.turns))

    def data(self, gallery: Gallery) -> Data:
        return {
            "title": gallery.title,
            "about": gallery.about,
            "chunk": QUESTIONS_OF_A_CHUNK,
            "terms": list(_REWARD.values()),
            "columns": [asdict(column) for column in gallery.columns],
            "questions": self.questions,
            "episodes": self.episodes,
        }


def _facts(
    played: Played, reward: Mapping[str, float] | None, facts: Facts, evidence: bool
) -> Data:
    episode = played.episode
    return {
        "answer": episode.answer,
        "outcome": played.outcome,
        "status": str(episode.tool_status),
        "zooms": int(reward["shown"]) if reward else 0,
        "coverage": _rounded(reward["coverage"]) if reward and evidence else None,
        "reward": _rounded(reward["reward"]) if reward else None,
        "tokens": played.tokens,
        **asdict(facts),
    }


def chunks(gallery: Gallery, index: Index, pictures: Pictures) -> Iterator[Data]:
    """The questions as they are shown, some at a time; puts them into the index as well."""
    waiting: list[Data] = []
    for asked in gallery.questions:
        index.add(asked, gallery.columns)
        waiting.append(_question(asked, gallery.columns, pictures))
        if len(waiting) == QUESTIONS_OF_A_CHUNK:
            yield {"questions": waiting}
            waiting = []
    if waiting:
        yield {"questions": waiting}


def _question(asked: Asked, columns: Sequence[Column], pictures: Pictures) -> Data:
    sample = asked.sample
    return {
        "evidence": [_corners(region.box) for region in sample.evidence],
        "options": list(sample.options),
        "size": [sample.width, sample.height],
        "page": pictures.add_page(sample.image),
        "episodes": [
            _episode(played, column, pictures)
            for played, column in zip(asked.played, columns, strict=True)
        ],
    }


def _episode(played: Played, column: Column, pictures: Pictures) -> Data:
    reward = played.reward if column.tool else None
    return {
        "error": played.episode.error,
        "reward": [_rounded(float(reward[name])) for name in _REWARD] if reward else None,
        "steps": [_step(step) for step in played.episode.steps],
        **_replay(played, pictures),
    }


def _step(step: Step) -> Data:
    box = step.executed or step.requested
    return {
        "turn": step.turn,
        "status": str(step.status),
        "reason": step.reason,
        "box": box and _corners(box),
        "executed": step.executed is not None,
        "shown": step.shown,
        "redundant": step.redundant,
    }


def _replay(played: Played, pictures: Pictures) -> Data:
    """The turns of an episode with what the model was shown before each."""
    requests, exact = replay(played.episode, played.start)
    turns = [
        {**_shown(request[-1], pictures), "text": turn.text}
        for request, turn in zip(requests, played.episode.turns, strict=False)
    ]
    return {"turns": turns, "exact": exact}


def _shown(message: Message, pictures: Pictures) -> Data:
    return {
        "prompt": "".join(part for part in message.parts if isinstance(part, str)),
        "pictures": [pictures.add_view(image) for image in message.images],
    }


def _corners(box: Box) -> list[float]:
    return [_rounded(value) for value in box.as_tuple()]


def _rounded(value: float) -> float:
    return round(float(value), 4)
