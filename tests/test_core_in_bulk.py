"""The promises of the core over some 200,000 cases, and against an adversary who searches.

Hypothesis draws the seeds. The same properties stand, with cases that shrink, in the tests of each
module; a failure here names a seed that reproduces it.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_perception_r1.data.evidence import locate_evidence
from active_perception_r1.geometry import Box, coverage, iou
from active_perception_r1.modes import ACTIVE, BLANK_CROP, STRICT_ZOOM
from active_perception_r1.records import Evidence
from active_perception_r1.rewards.active_vision_reward import RewardConfig, trace_reward
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.utils.trace_parser import SYNTAXES, Frame, parse_actions, parse_answer
from tests.adversary import (
    Calls,
    Pay,
    Situation,
    any_situation,
    executed_at_once,
    executed_one_by_one,
    gain_where,
    parsed,
    search,
)
from tests.scripted import AWAY, MODEL, ZOOM, start, stop
from tests.strategies import (
    REFUSALS,
    random_box,
    random_calls,
    random_evidence,
    recorded,
)

pytestmark = pytest.mark.slow

seeds = st.integers(0, 2**32)
hundred = settings(max_examples=100)
TARGET = (Evidence("answer", Box(0.4, 0.4, 0.5, 0.45)),)
TIGHT = Box(0.35, 0.35, 0.55, 0.5)
ELSEWHERE = Box(0.7, 0.7, 0.9, 0.9)
FRAME = Frame(page_size=(2000, 1000), view_size=(500, 250))
FRAGMENTS = [
    *"<>/\"'=[]{},:. \n0159aNe-",
    *["<zoom_roi", " x0=", " y0=", " x1=", " y1=", " x=", " w=", "0.5", "1e9", "NaN", "/>"],
    *["<tool_call>", "</tool_call>", '{"name":', '"image_zoom_in_tool"', '"arguments":{'],
    *['"bbox_2d":', "[1,2,3,4]", "[0.1,0.2,0.5,0.6]", "<grounding>", "</grounding>", "}}"],
    *["<box>", "</box>", "<arg_key>bbox_2d</arg_key>", "<arg_value>", "</arg_value>", "٣"],
    *["<answer>", "</answer>", "<think>", "</think>", "\0", "\ud800"],
]


@pytest.mark.parametrize("syntax", SYNTAXES)
@hundred
@given(seeds)
def test_parsing_never_fails_and_finds_boxes_or_faults(syntax: str, seed: int) -> None:
    """80,000 texts."""
    rng = random.Random(seed)
    for _ in range(100):
        text = "".join(rng.choices(FRAGMENTS, k=rng.randrange(1, 30)))
        for action in parse_actions(text, SYNTAXES[syntax], FRAME):
            assert (action.box is None) == bool(action.fault) == bool(action.reason)
            assert action.box is None or action.box.area >= 0
        answer = parse_answer(text)
        assert answer is None or (answer == answer.strip() and f"{answer}" in text)


@hundred
@given(seeds)
def test_overlaps_are_consistent(seed: int) -> None:
    """40,000 pairs of boxes."""
    rng = random.Random(seed)
    for _ in range(400):
        a, b = random_box(rng), random_box(rng)
        shared = iou(a, b)
        assert 0 <= shared <= min(1, coverage(a, b) + 1e-9, coverage(b, a) + 1e-9)
        assert abs(shared - iou(b, a)) < 1e-12
        assert coverage(a.union(b), b) > 1 - 1e-9
        assert a.intersection(b).area <= min(a.area, b.area) + 1e-12


@hundred
@given(seeds)
def test_wrong_stays_below_correct_and_padding_never_pays(seed: int) -> None:
    """40,000 traces of each kind, each padded with what shows no more than was seen."""
    rng = random.Random(seed)
    for _ in range(400):
        calls, evidence, needs = random_calls(rng), random_evidence(rng), rng.random() < 0.5
        wrong = trace_reward(recorded(calls), False, evidence, needs).reward
        right = trace_reward(recorded(calls), True, evidence, needs).reward
        assert wrong <= 0.10 < 0.65 <= right
        padding = rng.choice([*calls, *REFUSALS])
        padded = trace_reward(recorded([*calls, padding]), True, evidence, needs).reward
        assert padded <= right + 1e-12


@hundred
@given(seeds)
def test_episodes_keep_their_limits(seed: int) -> None:
    """10,000 turns of models that say anything."""
    rng = random.Random(seed)
    said = [ZOOM, AWAY, ZOOM + AWAY, "<zoom_roi/>", "hm", "<answer>42</answer>"]
    live: LiveEpisode | None = None
    for _ in range(100):
        if live is None or live.finished:
            mode = rng.choice([ACTIVE, STRICT_ZOOM, BLANK_CROP])
            live = start(mode)
        live.receive(stop(rng.choice(said)))
        if live.finished:
            episode = live.record("m", "r", 0)
            assert len(episode.turns) <= MODEL.max_turns
            assert sum(step.executed is not None for step in episode.steps) <= MODEL.max_zooms
            if mode == STRICT_ZOOM:
                assert episode.answer is None or episode.shown_crops


@hundred
@given(seeds)
def test_a_planted_answer_is_found(seed: int) -> None:
    """10,000 pages."""
    rng = random.Random(seed)
    for _ in range(100):
        noise = ["".join(rng.choices("bcdfgh", k=rng.randint(3, 7))) for _ in range(20)]
        answer = ["".join(rng.choices("klmnpq", k=rng.randint(4, 8))) for _ in range(2)]
        place = rng.randrange(len(noise) + 1)
        words = [*noise[:place], *answer, *noise[place:]]
        boxes = [Box(i / 25, 0.1, (i + 0.9) / 25, 0.2) for i in range(len(words))]
        (region,) = locate_evidence(words, boxes, [" ".join(answer)])
        assert region.box == boxes[place].union(boxes[place + 1])


@pytest.mark.parametrize("pay", [parsed, executed_at_once, executed_one_by_one])
@pytest.mark.parametrize(
    "config",
    [RewardConfig(), RewardConfig(correct_weight=0.6), RewardConfig(visual_token_cost=0.17)],
)
def test_no_adversary_finds_a_wrong_trace_above_a_correct_one_or_padding_that_pays(
    pay: Pay, config: RewardConfig
) -> None:
    """benchmarks/adversary.py searches longer."""
    found = search(pay, random.Random(29), 2_000, config)
    assert found.best_wrong < found.worst_correct
    assert found.gain <= 1e-12, found.example
    # The search is worth its name: it comes close to both limits of the formula.
    assert found.best_wrong > config.wrong_weight * 0.9
    assert found.worst_correct < 1 - config.correct_weight * 0.9


def test_the_adversary_finds_padding_where_it_pays() -> None:
    """If each call earned a little, or if any crop counted as a look."""

    def by_count(calls: Calls, correct: bool, situation: Situation) -> float:
        return parsed(calls, correct, situation) + 0.001 * len(calls)

    def unknown(calls: Calls, correct: bool, situation: Situation) -> float:
        return parsed(calls, correct, replace(situation, evidence=()))

    assert search(by_count, random.Random(29), 2_000, RewardConfig()).gain > 0
    assert search(unknown, random.Random(29), 2_000, RewardConfig()).gain == pytest.approx(0.175)


def test_no_adversary_gains_by_zooms_that_are_not_needed() -> None:
    rng = random.Random(31)
    for config in (RewardConfig(), RewardConfig(visual_token_cost=0.17)):
        situations = [replace(any_situation(rng, config), needs=False) for _ in range(50)]
        for pay in (parsed, executed_at_once):
            assert gain_where(pay, rng, 1_000, situations) <= 1e-12


def test_no_adversary_gains_by_looking_elsewhere_once_it_has_looked() -> None:
    rng = random.Random(31)
    for _ in range(5_000):
        calls = [TIGHT if rng.random() < 0.5 else random_box(rng), *random_calls(rng)]
        correct, needs = rng.random() < 0.5, rng.random() < 0.5
        before = trace_reward(recorded(calls), correct, TARGET, needs).reward
        padding = rng.choice([rng.choice(calls), rng.choice(REFUSALS), ELSEWHERE])
        after = trace_reward(recorded([*calls, padding]), correct, TARGET, needs).reward
        assert after <= before + 1e-12
