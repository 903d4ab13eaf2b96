"""The reward pays for right answers and meaningful looking, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box
from active_perception_r1.modes import STRICT_ZOOM
from active_perception_r1.records import Evidence, Step, ToolStatus
from active_perception_r1.rewards import active_vision_reward
from active_perception_r1.rewards.active_vision_reward import (
    FIELDS,
    TERMS,
    Reward,
    RewardConfig,
    curiosity_bonus,
    episode_reward,
    reward_means,
    trace_reward,
    with_curiosity,
)
from active_perception_r1.tasks import TASKS, Judgement, Task
from tests.scripted import AWAY, ZOOM, make_sample, run, stop
from tests.strategies import boxes, evidence_sets, refusals, traces, zoom_step

TARGET = (Evidence("answer", Box(0.4, 0.4, 0.5, 0.45)),)
TIGHT = Box(0.35, 0.35, 0.55, 0.5)
ELSEWHERE = Box(0.7, 0.7, 0.9, 0.9)
PAGE = Box(0.0, 0.0, 1.0, 1.0)
NO_LOOK = 1 - 0.35 * 0.5


def score(*steps: Step, correct: bool = True, needs: bool = True) -> float:
    return trace_reward(steps, correct, TARGET, needs).reward


@pytest.mark.parametrize(
    ("steps", "correct", "needs", "expected"),
    [
        ([zoom_step(TIGHT)], True, True, 1.35),
        ([], True, True, NO_LOOK),
        ([], True, False, 1.0),
        ([zoom_step(TIGHT)], True, False, 1.0),
        ([zoom_step(ELSEWHERE)], True, True, NO_LOOK),
        ([zoom_step(ELSEWHERE)], True, False, 1.0),
        ([zoom_step(PAGE)], True, True, NO_LOOK),
        ([zoom_step(ELSEWHERE), zoom_step(TIGHT)], True, True, 1.35),
        ([zoom_step(Box(0.0, 0.0, 1.0, 0.45))], True, True, 1 + 0.35 * 0.5),
        ([zoom_step(TIGHT), zoom_step(TIGHT, redundant=True)], True, True, 1 + 0.35 * 0.9),
        ([zoom_step(None, ToolStatus.MALFORMED_ZOOM)], True, True, 1 - 0.35 * 0.75),
        ([zoom_step(None, ToolStatus.ZOOM_LIMIT_REACHED)], True, False, 1 - 0.35 * 0.1),
        ([zoom_step(None, ToolStatus.OUT_OF_BOUNDS)] * 9, True, True, 0.65),
        ([zoom_step(TIGHT, shown=False)], True, True, NO_LOOK),
        ([zoom_step(TIGHT)], False, True, 0.1),
        ([zoom_step(ELSEWHERE)], False, True, -0.05),
        ([], False, True, -0.05),
        ([], False, False, 0.0),
    ],
)
def test_the_formula_by_hand(
    steps: list[Step], correct: bool, needs: bool, expected: float
) -> None:
    assert score(*steps, correct=correct, needs=needs) == pytest.approx(expected)


@given(traces(), traces(), evidence_sets(), evidence_sets(), st.booleans(), st.booleans())
def test_every_wrong_trace_is_below_every_correct_one(
    wrong: tuple[Step, ...],
    right: tuple[Step, ...],
    wrong_evidence: tuple[Evidence, ...],
    right_evidence: tuple[Evidence, ...],
    wrong_needs: bool,
    right_needs: bool,
) -> None:
    low = trace_reward(wrong, False, wrong_evidence, wrong_needs).reward
    high = trace_reward(right, True, right_evidence, right_needs).reward
    assert low <= 0.10 < 0.65 <= high


def test_regression_wrong_with_repeated_zooms_never_beats_right_without() -> None:
    """The predecessor summed an unconditional bonus: 1.155 for the first, 0.9475 for the second."""
    spam = [zoom_step(TIGHT), *[zoom_step(TIGHT, redundant=True)] * 2]
    assert score(*spam, correct=False) < score(correct=True)


def test_when_looking_is_needed_relevant_beats_none_beats_failed() -> None:
    relevant = score(zoom_step(TIGHT))
    failed = score(zoom_step(None, ToolStatus.INVALID_BBOX))
    assert relevant > score() > failed


def test_regression_a_needed_look_at_an_empty_corner_is_none() -> None:
    """It used to lift .825 to 1."""
    assert score(zoom_step(ELSEWHERE)) == score()
    reward = trace_reward([zoom_step(ELSEWHERE)], True, TARGET, True)
    assert (reward.shown, reward.no_zoom, reward.relevance) == (1, 0.5, 0)


@given(traces(), evidence_sets(), st.booleans())
def test_regression_a_zoom_that_is_not_needed_is_never_paid(
    steps: tuple[Step, ...], evidence: tuple[Evidence, ...], correct: bool
) -> None:
    """It used to be paid as one that is."""
    assert trace_reward(steps, correct, evidence, False).reward <= float(correct)


@given(traces(), evidence_sets(), st.booleans(), st.booleans(), st.data())
def test_repeating_never_raises_the_reward(
    steps: tuple[Step, ...],
    evidence: tuple[Evidence, ...],
    correct: bool,
    needs: bool,
    data: st.DataObject,
) -> None:
    """Any crop that the model has seen, shown again at any later place, or any failing call."""
    before = trace_reward(steps, correct, evidence, needs).reward
    seen = [step for step in steps if step.shown]
    padding: Step = (
        replace(data.draw(st.sampled_from(seen)), redundant=True)
        if seen and data.draw(st.booleans())
        else zoom_step(None, data.draw(refusals))
    )
    after = trace_reward([*steps, padding], correct, evidence, needs).reward
    assert after <= before + 1e-12


@given(traces(), boxes(), evidence_sets(), st.booleans())
def test_a_crop_that_was_not_shown_earns_nothing(
    steps: tuple[Step, ...], box: Box, evidence: tuple[Evidence, ...], needs: bool
) -> None:
    unseen = zoom_step(box, shown=False)
    with_unseen = trace_reward([*steps, unseen], True, evidence, needs)
    assert with_unseen.reward == trace_reward(steps, True, evidence, needs).reward


@given(boxes(), st.booleans(), st.booleans())
def test_without_known_evidence_a_valid_crop_earns_nothing_and_costs_nothing(
    box: Box, correct: bool, needs: bool
) -> None:
    reward = trace_reward([zoom_step(box)], correct, [], needs)
    assert reward.reward == float(correct)


@given(traces(), evidence_sets(), st.booleans())
def test_order_of_evidence_and_of_shown_crops_does_not_matter(
    steps: tuple[Step, ...], evidence: tuple[Evidence, ...], needs: bool
) -> None:
    forward = trace_reward(steps, True, evidence, needs).reward
    distinct = {region.label: region.weight for region in evidence}
    if len({(r.label, r.weight) for r in evidence}) == len(distinct):
        assert trace_reward(steps, True, evidence[::-1], needs).reward == pytest.approx(forward)
    assert trace_reward(steps[::-1], True, evidence, needs).reward == pytest.approx(forward)


def test_a_zoom_onto_any_alternative_counts_fully() -> None:
    twice = (*TARGET, Evidence("answer", Box(0.75, 0.75, 0.8, 0.8)))
    assert trace_reward([zoom_step(ELSEWHERE)], True, twice, True).relevance == 1
    parts = (*TARGET, Evidence("other", Box(0.75, 0.75, 0.8, 0.8), weight=3.0))
    assert trace_reward([zoom_step(ELSEWHERE)], True, parts, True).relevance == 0.75


def test_an_episode_is_rewarded_for_what_it_did() -> None:
    sample = make_sample()
    hit = episode_reward(run([ZOOM, "<answer> 42 </answer>"]), sample)
    miss = episode_reward(run([AWAY, "<answer>41</answer>"]), sample)
    assert (hit.correct, hit.coverage, hit.shown, hit.relevant) == (True, 1, 1, 1)
    assert hit.reward == pytest.approx(1.35)
    assert (miss.correct, miss.coverage, miss.reward) == (False, 0, pytest.approx(-0.05))
    refused = episode_reward(run(["<answer>42</answer>"], STRICT_ZOOM), sample)
    assert not refused.correct


def test_the_task_says_whether_an_answer_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    class Anything(Task):
        def judge(self, answer: str | None, *_: Any) -> Judgement:
            return Judgement(0.5, correct=answer is not None)

    tasks = {"anything": Anything(), "short_answer": TASKS["short_answer"]}
    monkeypatch.setattr(active_vision_reward, "TASKS", tasks)
    episode, sample = run([ZOOM, "<answer>41</answer>"]), make_sample()
    assert episode_reward(episode, sample, task="anything").correct
    assert not episode_reward(episode, sample).correct


def test_curiosity_pays_for_looking_only_while_too_few_do_and_fades() -> None:
    config = RewardConfig(curiosity=0.5, curiosity_target=0.3, curiosity_steps=100)
    looked = trace_reward([zoom_step(TIGHT)], False, TARGET, True, config)
    idle = trace_reward([], False, TARGET, True, config)
    assert curiosity_bonus(looked, True, 0.1, 0, config) == pytest.approx(0.5 * 0.2)
    assert curiosity_bonus(looked, True, 0.1, 50, config) == pytest.approx(0.5 * 0.2 / 2)
    assert curiosity_bonus(looked, True, 0.1, 500, config) == 0
    assert curiosity_bonus(looked, True, 0.3, 0, config) == 0
    assert curiosity_bonus(looked, False, 0.0, 0, config) == 0
    assert curiosity_bonus(idle, True, 0.0, 0, config) == 0
    assert curiosity_bonus(looked, True, 0.0, 0, RewardConfig()) == 0
    paid = with_curiosity(looked, True, 0.1, 0, config)
    assert paid.reward == pytest.approx(looked.reward + 0.1)
    assert paid.curiosity_bonus == pytest.approx(0.1)


PRICED = RewardConfig(visual_token_cost=0.1)


@pytest.mark.parametrize(
    ("steps", "correct", "needs", "crop_tokens", "expected"),
    [
        ([zoom_step(TIGHT)], True, False, 1.0, 0.9),
        ([zoom_step(TIGHT)], True, False, 0.25, 0.975),
        ([zoom_step(TIGHT)] * 3, True, False, 3.0, 0.9),
        ([], True, False, 0.0, 1.0),
        ([zoom_step(TIGHT)], True, True, 1.0, 1.25),
        ([zoom_step(TIGHT)], False, True, 1.0, 0.1),
        ([zoom_step(ELSEWHERE)], False, True, 1.0, -0.05),
    ],
)
def test_crops_cost_a_right_answer_by_their_tokens_and_a_wrong_one_nothing(
    steps: list[Step], correct: bool, needs: bool, crop_tokens: float, expected: float
) -> None:
    reward = trace_reward(steps, correct, TARGET, needs, PRICED, crop_tokens)
    assert reward.reward == pytest.approx(expected)
    assert reward.visual_token_cost == (0.1 * min(1, crop_tokens) if correct else 0)


@given(traces(), traces(), evidence_sets(), st.booleans(), st.floats(0, 9), st.floats(0.001, 0.17))
def test_every_wrong_trace_is_below_every_correct_one_at_any_price(
    wrong: tuple[Step, ...],
    right: tuple[Step, ...],
    evidence: tuple[Evidence, ...],
    needs: bool,
    crop_tokens: float,
    price: float,
) -> None:
    config = RewardConfig(visual_token_cost=price)
    low = trace_reward(wrong, False, evidence, needs, config, 0.0).reward
    high = trace_reward(right, True, evidence, needs, config, crop_tokens).reward
    assert low <= 0.10 < 0.65 - price <= high


@given(boxes(), st.floats(0, 9), st.floats(0.001, 0.17))
def test_a_needed_look_pays_at_any_price(box: Box, crop_tokens: float, price: float) -> None:
    config = RewardConfig(visual_token_cost=price)
    looked = trace_reward([zoom_step(box)], True, TARGET, True, config, crop_tokens)
    if looked.relevance > 0:
        assert looked.reward > trace_reward([], True, TARGET, True, config).reward


def test_the_tokens_of_crops_are_those_that_the_engine_counted() -> None:
    sample = make_sample(requires_zoom=False)
    first = replace(stop(ZOOM), visual_tokens=64)
    last = replace(stop("<answer>42</answer>"), visual_tokens=96)
    assert episode_reward(run([first, last]), sample, PRICED).reward == pytest.approx(0.95)
    assert episode_reward(run([replace(last, visual_tokens=64)]), sample, PRICED).reward == 1


def test_without_a_count_there_is_no_price() -> None:
    uncounted = run([ZOOM, "<answer>42</answer>"])
    with pytest.raises(DataError, match="sample-0: reward.visual_token_cost needs the tokens"):
        episode_reward(uncounted, make_sample(), PRICED)
    assert episode_reward(uncounted, make_sample()).visual_token_cost == 0
    assert episode_reward(run(["<answer>42</answer>"]), make_sample(), PRICED).reward == NO_LOOK


def test_means_are_of_every_field_under_its_own_name() -> None:
    hit = trace_reward([zoom_step(TIGHT)], True, TARGET, True)
    idle = trace_reward([], False, TARGET, True)
    means = reward_means([hit, idle])
    assert set(means) == set(FIELDS)
    assert (means["correct"], means["shown"], means["relevance"]) == (0.5, 0.5, 0.5)
    assert means["reward"] == pytest.approx((1.35 - 0.05) / 2)


def test_the_process_is_what_its_terms_say() -> None:
    steps = [zoom_step(TIGHT), zoom_step(None, ToolStatus.MALFORMED_ZOOM)]
    for reward in (trace_reward(steps, True, TARGET, True), trace_reward([], True, TARGET, True)):
        assert reward.process == reward.relevance - reward.faults - reward.no_zoom
    assert set(TERMS) <= set(Reward.__dataclass_fields__)


@pytest.mark.parametrize(
    ("constant", "value", "message"),
    [
        ("curiosity", 2.0, "or a lie can pay"),
        ("curiosity", -1.0, "curiosity must be a number of at least 0, not -1.0"),
        ("correct_weight", 0.95, "or a lie can pay"),
        ("wrong_weight", 0.7, "or a lie can pay"),
        ("malformed", -0.1, "malformed must be a number of at least 0"),
        ("malformed", float("nan"), "malformed must be a number of at least 0, not nan"),
        ("max_faults", float("inf"), "max_faults must be a number of at least 0, not inf"),
        ("correct_weight", float("nan"), "correct_weight must be"),
        ("redundant", "0.1", "redundant must be a number"),
        ("visual_token_cost", 0.6, "or a lie can pay"),
        ("visual_token_cost", 0.175, "or a look that is needed may not pay"),
        ("curiosity_steps", 0, "curiosity_steps must be a number of at least 1"),
        ("tight_area", 0.7, r"tight_area \(0.7\) must be below max_area \(0.65\)"),
        ("max_area", 1.2, "max_area must be a number from 0 to 1, not 1.2"),
    ],
)
def test_constants_that_would_break_the_promise_are_refused(
    constant: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RewardConfig(**{constant: value})


def test_the_configuration_knows_every_constant_its_range_and_what_it_does() -> None:
    adapter = TypeAdapter(RewardConfig)
    schema = adapter.json_schema()
    assert set(schema["properties"]) == set(RewardConfig.__match_args__)
    assert all(constant["description"] for constant in schema["properties"].values())
    assert schema["properties"]["max_area"]["maximum"] == 1
    for wrong in ({"malformed": float("nan")}, {"max_area": 2}, {"curiosity": 9}, {"no": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_of_evidence_is_a_number(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be a number of at least 0"):
        Evidence("answer", TIGHT, weight)
