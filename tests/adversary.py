"""A searcher for ways around the reward: traces that earn more than they should.

It writes what a model might write (zooms, repeats, calls that are refused, in any order), and has
it scored both ways: as text alone, and as an episode on a page. From random starts it climbs: what
comes closest to breaking a promise is changed a little and tried again. Its calls count from the
page; where a syntax can zoom into an earlier crop, one more crop may make such a call a valid one.
"""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from PIL import Image

from active_perception_r1.config import CropConfig, FirstView, ModelConfig
from active_perception_r1.geometry import Box
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.records import Evidence, Sample, evidence_coverage
from active_perception_r1.rewards.active_vision_reward import (
    RewardConfig,
    compute_score,
    episode_reward,
)
from active_perception_r1.sim.messages import FinishReason, Reply
from tests.strategies import random_box

Calls = tuple[str, ...]

MALFORMED, REVERSED = '<zoom_roi x0="a"/>', "<zoom_roi x0=0.5 y0=0.5 x1=0.4 y1=0.6/>"
OUTSIDE, TINY = "<zoom_roi x0=0.5 y0=0 x1=1.5 y1=1/>", "<zoom_roi x0=0.5 y0=0 x1=0.501 y1=0.001/>"
WHOLE_PAGE, NEARLY = "<zoom_roi x0=0 y0=0 x1=1 y1=1/>", "<zoom_roi x0=0.1 y0=0.1 x1=1 y1=0.9/>"
REFUSED = (MALFORMED, REVERSED, OUTSIDE, TINY)
WIDE = (WHOLE_PAGE, NEARLY)
MOST_CALLS = 8


def written(box: Box) -> str:
    """The call for a box."""
    return f"<zoom_roi x0={box.x0:.4f} y0={box.y0:.4f} x1={box.x1:.4f} y1={box.y1:.4f}/>"


@dataclass(frozen=True, slots=True)
class Situation:
    """A question as far as the reward sees it, and the constants it is paid by."""

    evidence: tuple[Evidence, ...]
    needs: bool
    config: RewardConfig = field(default_factory=RewardConfig)


Pay = Callable[[Calls, bool, Situation], float]
"""The reward of calls that end in a right or a wrong answer."""


def parsed(calls: Calls, correct: bool, situation: Situation) -> float:
    """As text alone: the calls, and the answer below them."""
    info = {
        "evidence": [asdict(region) for region in situation.evidence],
        "requires_zoom": situation.needs,
        "crop_tokens": len(calls),
    }
    text = f"{' '.join(calls)} <answer>{'right' if correct else 'wrong'}</answer>"
    constants = asdict(situation.config)
    return float(compute_score("adversary", text, "right", info, **constants)["score"])


def executed_at_once(calls: Calls, correct: bool, situation: Situation) -> float:
    """As an episode in which one reply holds all calls."""
    return _episode(["".join(calls)] if calls else [], correct, situation)


def executed_one_by_one(calls: Calls, correct: bool, situation: Situation) -> float:
    """As an episode with a reply for each call."""
    return _episode(calls, correct, situation)


def _episode(replies: Sequence[str], correct: bool, situation: Situation) -> float:
    sample = replace(_SAMPLE, evidence=situation.evidence, requires_zoom=situation.needs)
    live = start_episode(sample, _RULES)
    for text in [*replies, f"<answer>{'right' if correct else 'wrong'}</answer>"]:
        images = sum(len(message.images) for message in live.request)
        live.receive(Reply(text, FinishReason.STOP, visual_tokens=images))
    return episode_reward(live.record("", "", 0), sample, situation.config).reward


def any_situation(rng: random.Random, config: RewardConfig, known: bool = True) -> Situation:
    """With evidence of one to three small regions, or with none that is known."""
    evidence = []
    for _ in range(rng.randint(1, 3) if known else 0):
        x, y = rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.8)
        box = Box(x, y, x + rng.uniform(0.01, 0.1), y + rng.uniform(0.01, 0.1))
        evidence.append(Evidence(rng.choice("ab"), box, rng.choice([0.5, 1.0, 2.0])))
    return Situation(tuple(evidence), rng.random() < 0.5, config)


def any_call(rng: random.Random, situation: Situation) -> str:
    """One that is refused, one onto evidence, or one onto anything."""
    chance = rng.random()
    if chance < 0.3:
        return rng.choice(REFUSED + WIDE)
    if chance < 0.6 and situation.evidence:
        return written(rng.choice(situation.evidence).box.expanded(rng.uniform(0, 0.2)))
    return written(random_box(rng))


def any_calls(rng: random.Random, situation: Situation) -> Calls:
    return tuple(any_call(rng, situation) for _ in range(rng.randrange(MOST_CALLS // 2)))


def changed(calls: Calls, rng: random.Random, situation: Situation) -> Calls:
    """The calls with one put in, left out, repeated or replaced."""
    place = rng.randrange(len(calls) + 1)
    match rng.randrange(4):
        case 0:
            calls = (*calls[:place], any_call(rng, situation), *calls[place:])
        case 1:
            calls = calls[:place] + calls[place + 1 :]
        case 2 if calls:
            calls = (*calls, rng.choice(calls))
        case _:
            calls = (*calls[:place], any_call(rng, situation), *calls[place + 1 :])
    return calls[:MOST_CALLS]


def padded(calls: Calls, rng: random.Random, situation: Situation) -> Calls:
    """The calls with some more, anywhere among them, that show nothing of the evidence.

    Refused ones, repeats of earlier ones, (nearly) the whole page, and crops far from all evidence.
    """
    for _ in range(rng.choice([1, 1, 2, 3, MOST_CALLS])):
        box = random_box(rng)
        # Far: an episode grows a box to whole pixels and to a sensible shape before it is cut.
        while evidence_coverage(box.expanded(0.15), situation.evidence) > 0:
            box = random_box(rng)
        place = rng.randrange(len(calls) + 1)
        extra = rng.choice([rng.choice(REFUSED), rng.choice(WIDE), written(box), *calls[:place]])
        calls = (*calls[:place], extra, *calls[place:])
    return calls


@dataclass(frozen=True, slots=True)
class Found:
    """The worst that a search came upon.

    Attributes:
        gain: the most that padding added to the reward of the same answer.
        example: the calls before and after that padding.
        traces: how many were scored.
    """

    best_wrong: float
    worst_correct: float
    gain: float
    example: tuple[Calls, Calls]
    traces: int


def search(pay: Pay, rng: random.Random, traces: int, config: RewardConfig) -> Found:
    """Look for a wrong trace above a correct one, and for padding that pays, evidence known."""
    best_wrong, worst_correct, count = -1.0, 2.0, 0
    gain, example = -2.0, (Calls(), Calls())
    while count < traces:
        situation = any_situation(rng, config)
        climber, sinker = any_calls(rng, situation), any_calls(rng, situation)
        top, bottom = pay(climber, False, situation), pay(sinker, True, situation)
        pair, most = (climber, climber), -2.0
        for _ in range(100):
            higher = changed(climber, rng, situation)
            if (found := pay(higher, False, situation)) >= top:
                climber, top = higher, found
            lower = changed(sinker, rng, situation)
            if (found := pay(lower, True, situation)) <= bottom:
                sinker, bottom = lower, found
            correct = rng.random() < 0.5
            before = rng.choice([climber, sinker, changed(pair[0], rng, situation)])
            after = padded(before, rng, situation)
            found = pay(after, correct, situation) - pay(before, correct, situation)
            if found >= most:
                pair, most = (before, after), found
        best_wrong, worst_correct = max(best_wrong, top), min(worst_correct, bottom)
        if most > gain:
            gain, example = most, pair
        count += 2 + 4 * 100
    return Found(best_wrong, worst_correct, gain, example, count)


def gain_where(pay: Pay, rng: random.Random, traces: int, situations: Sequence[Situation]) -> float:
    """The most that more calls of any kind add to a trace in one of the situations."""
    gain = -2.0
    for situation in itertools.islice(itertools.cycle(situations), traces // 2):
        calls, correct = any_calls(rng, situation), rng.random() < 0.5
        more = (*calls, any_call(rng, situation))
        gain = max(gain, pay(more, correct, situation) - pay(calls, correct, situation))
    return gain


def _page() -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(encoded, "PNG")
    return encoded.getvalue()


_SAMPLE = Sample("0", "0", _page(), 64, 64, "?", ("right",), (), True)
_RULES = episode_rules(
    ACTIVE,
    ModelConfig(
        id="adversary",
        gpus=0,
        first_view=FirstView(max_pixels=64),
        crop=CropConfig(max_pixels=64),
        max_turns=4 * MOST_CALLS,  # so that the answer is always heard
    ),
)
