"""Our answer metrics beside lmms-eval's on the same replies: values, reasons, speed; for peers.py.

Where the two disagree, a reason from `REASONS` says why ours is otherwise; a disagreement without
one is one that nobody meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from measuring import Figure, ratios, seconds, spread
from replies import LETTERS, Reply

from active_perception_r1.scoring.metrics.choice_lmms_hrbench import read_hrbench
from active_perception_r1.scoring.metrics.choice_lmms_vstar import read_vstar
from active_perception_r1.tasks.anls import anls, anls_lmms
from active_perception_r1.tasks.multiple_choice import read_choice
from active_perception_r1.tasks.relaxed import relaxed_match
from active_perception_r1.tasks.short_answer import exact_match, normalise_answer
from active_perception_r1.tasks.vqa import vqa_accuracy

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Case:
    """A reply that two metrics see differently."""

    reply: Reply
    ours: Value
    theirs: Value

    @property
    def text(self) -> str:
        return self.reply.text

    @property
    def answer(self) -> str:
        return self.reply.question.answer

    def stands_alone(self, letter: Value) -> bool:
        return re.search(rf"(?<!\w){letter}(?!\w)", self.text) is not None

    @property
    def named(self) -> int:
        """Options whose text is a part of the reply."""
        return sum(option in self.text.lower() for option in self.reply.question.options)

    @property
    def refused(self) -> bool:
        """Read by them only."""
        return self.ours is None and self.theirs is not None


def _accepted(reply: Reply) -> Sequence[str]:
    return reply.question.answers[:1]


# What is compared: our values, by the name of their metric in peer_lmms.py.
OURS: Mapping[str, tuple[str, Callable[[Reply], Value]]] = {
    "exact match": ("exact_match", lambda reply: exact_match(reply.text, _accepted(reply))),
    "ANLS, their form": ("anls", lambda reply: anls_lmms(reply.text, _accepted(reply))),
    "ANLS, published": ("anls", lambda reply: anls(reply.text, _accepted(reply))),
    "relaxed": ("relaxed", lambda reply: relaxed_match(reply.text, _accepted(reply))),
    "VQA": ("vqa", lambda reply: vqa_accuracy(reply.text, reply.question.answers)),
    "V* letters, their rules": (
        "vstar",
        lambda reply: read_vstar(reply.text, reply.question.options),
    ),
    "HR-Bench letters, their rules": (
        "hrbench",
        lambda reply: read_hrbench(reply.text, reply.question.options),
    ),
    "letters, ours against V*": (
        "vstar",
        lambda reply: read_choice(reply.text, reply.question.options),
    ),
    "letters, ours against HR-Bench": (
        "hrbench",
        lambda reply: read_choice(reply.text, reply.question.options),
    ),
}

Reasons = Mapping[str, Callable[[Case], bool]]
_CHOICE: Reasons = {
    "two letters name none": lambda case: (
        case.refused and sum(case.stands_alone(letter) for letter in LETTERS) > 1
    ),
    "what is denied is not chosen": lambda case: (
        case.refused and re.search(r"\b(?:not|wrong)\b", case.text) is not None
    ),
    "an article is no letter": lambda case: (
        case.refused and case.theirs == "A" and re.search(r"\b[Aa] \w\w", case.text) is not None
    ),
}
# The first that holds is the reason.
REASONS: Mapping[str, Reasons] = {
    "exact match": {
        "theirs ignores punctuation everywhere: 1.5 is 15": lambda case: bool(case.theirs),
        "theirs compares quotes and spaces around": lambda case: bool(case.ours),
    },
    "ANLS, published": {
        "exactly 0.5 scores 0": lambda case: case.theirs == 0.5,
        "theirs counts spaces in the length": lambda case: case.text != " ".join(case.text.split()),
    },
    "relaxed": {
        "theirs compares quotes, full stops and spaces around": lambda case: (
            normalise_answer(case.text) == normalise_answer(case.answer)
        ),
        "theirs reads no thousands separators": lambda case: "," in case.text,
        "theirs takes 1_000 for a number": lambda case: "_" in case.text,
        "theirs rounds 5 % in binary": lambda case: case.ours is True,
    },
    "letters, ours against V*": {
        "a letter in a word is none": lambda case: (
            case.theirs is not None and not case.stands_alone(case.theirs)
        ),
        **_CHOICE,
        "theirs does not know the options' texts": lambda case: (
            case.theirs is None and case.named > 0
        ),
        "theirs does not know TeX": lambda case: case.theirs is None and "\\boxed" in case.text,
    },
    "letters, ours against HR-Bench": {
        **_CHOICE,
        "theirs takes a part of the reply for an option": lambda case: (
            case.refused and case.named > 0
        ),
        "theirs wants capitals": lambda case: case.theirs is None and case.text in "abcd",
        "theirs finds one option's text in another's": lambda case: (
            case.theirs is None and case.named > 1
        ),
    },
}


def compare(rows: Sequence[Reply], theirs: Callable[[], Any], repeats: int) -> list[Figure]:
    """Figures of all metrics; `theirs` scores the replies with each of lmms-eval's."""
    ours: dict[str, list[float]] = {name: [] for name in OURS}
    found: list[Any] = []
    for _ in range(repeats):
        found.append(theirs())
        for name, (_, metric) in OURS.items():
            ours[name].append(seconds(lambda metric=metric: list(map(metric, rows))))  # type: ignore[misc]
    figures = []
    for name, (key, metric) in OURS.items():
        peer = [once[key]["seconds"] for once in found]
        bar = ">= 20" if "ANLS" in name else ""
        figures.append(spread(f"{name}: {len(rows):,} replies, s", ours[name]))
        figures.append(ratios(f"{name}: lmms-eval 0.7.3 takes times", peer, ours[name], bar=bar))
        values = zip(rows, map(metric, rows), found[0][key]["values"], strict=True)
        figures += _differences(name, [Case(*one) for one in values])
    return [*figures, *_as_meant(rows, found[0])]


def _differences(name: str, cases: Sequence[Case]) -> list[Figure]:
    """How many have which reason, with an example; and how many have none."""
    by_reason: dict[str, list[Case]] = {reason: [] for reason in REASONS.get(name, {})}
    unmeant: list[Case] = []
    for case in cases:
        if not _same(case.ours, case.theirs):
            reasons = REASONS.get(name, {}).items()
            reason = next((reason for reason, holds in reasons if holds(case)), None)
            (by_reason[reason] if reason else unmeant).append(case)
    return [
        Figure(f"{name}: differ without a reason", len(unmeant), bar="0", note=_example(unmeant)),
        *[
            Figure(f"{name}: {reason}", len(found), note=_example(found))
            for reason, found in by_reason.items()
            if found
        ],
    ]


def _same(ours: Value, theirs: Value) -> bool:
    if isinstance(ours, str | None) or isinstance(theirs, str | None):
        return ours == theirs
    return abs(ours - theirs) < 1e-9


def _example(cases: Sequence[Case]) -> str:
    if not cases:
        return ""
    case = cases[0]
    return f"{case.text!r} for {case.answer!r}: {case.ours}, theirs {case.theirs}"


def _as_meant(rows: Sequence[Reply], theirs: Any) -> list[Figure]:
    """Of the ways to read a letter, how often what a reader takes from the reply is read."""
    meant = [reply.meant for reply in rows]
    readings = {
        "our": [read_choice(reply.text, reply.question.options) for reply in rows],
        "V*'s": theirs["vstar"]["values"],
        "HR-Bench's": theirs["hrbench"]["values"],
    }
    right = {
        name: [read == letter for read, letter in zip(letters, meant, strict=True)]
        for name, letters in readings.items()
    }
    missed = sum(
        (vstar or hrbench) and not ours
        for ours, vstar, hrbench in zip(*right.values(), strict=True)
    )
    return [
        *[
            Figure(f"letters: read as meant by {name} rules, %", 100 * sum(hits) / len(rows))
            for name, hits in right.items()
        ],
        Figure("letters: read as meant by theirs and not by ours", missed, bar="0"),
    ]
