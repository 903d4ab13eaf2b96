"""The reward in the calling convention of verl and TRL, with what trainers really hand over."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.records import Episode, Sample
from active_perception_r1.rewards.active_vision_reward import compute_score, episode_reward
from tests.scripted import AWAY, ZOOM, make_sample, run

ANSWER = "<answer>42</answer>"
EVIDENCE = [{"label": "answer", "box": [0.55, 0.55, 0.7, 0.65], "weight": 1.0}]
INFO: dict[str, Any] = {"evidence": EVIDENCE, "requires_zoom": True}


def executed(episode: Episode, sample: Sample) -> dict[str, Any]:
    """What a rollout records next to the response."""
    return {
        "tool_trace": [asdict(step) for step in episode.steps],
        "policy_turns": [turn.text for turn in episode.turns],
        "final_answer": episode.answer,
        "evidence": [asdict(region) for region in sample.evidence],
        "requires_zoom": sample.requires_zoom,
    }


@given(st.lists(st.sampled_from([ZOOM, AWAY, "<zoom_roi/>", "hm", ANSWER, ZOOM + ANSWER])))
def test_an_executed_trace_scores_exactly_as_its_episode(script: list[str]) -> None:
    sample = make_sample()
    episode = run([*script, ANSWER, ANSWER, ANSWER, ANSWER], sample=sample)
    result = compute_score("demo", "ignored", "42", executed(episode, sample))
    reward = episode_reward(episode, sample)
    assert result["score"] == reward.score
    assert result["acc"] == float(reward.correct)
    assert result["tool_trace_source"] == "executed"


@pytest.mark.parametrize("wrap", [lambda x: x, json.dumps, lambda x: np.array(x, dtype=object)])
def test_lists_arrays_and_json_mean_the_same(wrap: Any) -> None:
    sample = make_sample()
    episode = run([ZOOM, ANSWER], sample=sample)
    info = executed(episode, sample)
    plain = compute_score("demo", "", ["41", "42"], info)
    info |= {name: wrap(info[name]) for name in ("tool_trace", "evidence")}
    info["requires_zoom"] = np.bool_(True)
    assert compute_score("demo", "", np.array(["41", "42"]), info) == plain
    assert plain["score"] == pytest.approx(1.35)


def test_the_result_is_flat_and_has_the_promised_keys() -> None:
    result = compute_score("demo", ZOOM + ANSWER, "42", INFO)
    promised = (
        "score acc pred outcome_reward process_reward visual_perception_reward tool_trace_source"
        " zoom_call_count valid_zoom_count relevant_zoom_count malformed_zoom_count"
        " out_of_bounds_zoom_count best_region_coverage best_region_iou"
    )
    assert set(promised.split()) <= set(result)
    texts = {"pred", "tool_trace_source"}
    assert all(isinstance(value, float) for key, value in result.items() if key not in texts)


def test_without_a_recorded_trace_the_text_is_parsed() -> None:
    assert compute_score("demo", f"{ZOOM} {ANSWER}", "42", INFO)["score"] == pytest.approx(1.35)
    assert compute_score("demo", f"{ZOOM} {ANSWER}", "42", INFO)["tool_trace_source"] == "parsed"
    outside = compute_score("demo", f"<zoom_roi x0=0 y0=0 x1=2 y1=1/>{ANSWER}", "42", INFO)
    assert (outside["out_of_bounds_zoom_count"], outside["valid_zoom_count"]) == (1, 0)
    pixels = '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [50,50,75,75]}}'
    info = INFO | {"zoom_syntax": "qwen2_5_vl", "view_size": np.array([100, 100])}
    scored = compute_score("demo", f"{pixels}</tool_call>{ANSWER}", "42", info)
    assert scored["best_region_coverage"] == 1


def test_regression_no_credit_for_a_crop_that_nothing_was_written_after() -> None:
    assert compute_score("demo", f"{ANSWER}{ZOOM}", "42", INFO)["valid_zoom_count"] == 0
    assert compute_score("demo", ZOOM, "42", INFO)["valid_zoom_count"] == 0


@pytest.mark.parametrize(
    "observation",
    [
        f"<tool_response>{ANSWER}</tool_response>",
        f"<tool_response>{ANSWER}",
        f"<|im_start|>user\n{ANSWER}<|im_end|>\n<|im_start|>assistant\n",
        f"<|im_start|>tool\n{ANSWER}",
    ],
)
def test_regression_an_answer_in_an_observation_is_not_the_models(observation: str) -> None:
    result = compute_score("demo", f"{ZOOM}{observation} I cannot read it.", "42", INFO)
    assert (result["acc"], result["pred"]) == (0.0, "")
    own = compute_score("demo", observation + ANSWER, "42", INFO | {"policy_turns": ["no idea"]})
    assert own["acc"] == 0.0


@pytest.mark.parametrize(
    "truth", ["42", ["x", "42"], {"answers": ["42"]}, {"ground_truth": "42"}, np.str_("42")]
)
def test_ground_truth_comes_in_many_shapes(truth: Any) -> None:
    assert compute_score("demo", ANSWER, truth)["acc"] == 1.0
    assert compute_score("demo", ANSWER, "no", {"answers": truth})["acc"] == float(
        not isinstance(truth, dict)
    )


def test_constants_can_be_given_and_are_checked() -> None:
    assert compute_score("demo", ZOOM + ANSWER, "42", INFO, correct_weight=0.2)["score"] == 1.2
    with pytest.raises(ValueError, match="lie"):
        compute_score("demo", ANSWER, "42", INFO, correct_weight=2.0)


def test_evidence_without_a_box_is_named() -> None:
    with pytest.raises(ValueError, match="evidence 1 has no box"):
        compute_score("demo", ANSWER, "42", {"evidence": [EVIDENCE[0], {"label": "total"}]})
