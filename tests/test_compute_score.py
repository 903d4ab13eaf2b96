"""The reward in the calling convention of verl, with what trainers really hand over."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.config import CropConfig, ModelConfig
from active_perception_r1.errors import PayloadError, UserError
from active_perception_r1.records import Episode, Sample
from active_perception_r1.rewards.active_vision_reward import (
    FIELDS,
    KEYS,
    compute_score,
    episode_reward,
    own_names,
)
from active_perception_r1.rewards.payload import ExtraInfo
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
    assert result["score"] == reward.reward
    assert result["acc"] == float(reward.correct)
    assert result["tool_trace_source"] == "executed"


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_worker_scores_alike_however_it_was_started(method: str) -> None:
    question = ("demo", ZOOM + ANSWER, "42", INFO)
    with get_context(method).Pool(1) as pool:
        assert pool.apply(compute_score, question) == compute_score(*question)


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


def test_every_field_of_the_reward_is_in_the_result_under_one_name() -> None:
    result = compute_score("demo", ZOOM + ANSWER, "42", INFO)
    assert set(KEYS) <= set(FIELDS)
    own = own_names(result)
    assert set(FIELDS) <= set(own)
    assert (own["correct"], own["relevance"]) == (result["acc"], result["visual_perception_reward"])


def test_the_docs_give_the_names_on_both_sides() -> None:
    page = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
    table = page.split("| Name | `compute_score` |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.M))
    assert set(KEYS) <= set(rows) <= set(FIELDS)
    assert all(f"`{KEYS.get(name, name)}`" in given for name, given in rows.items())


class TestTextAlone:
    """What no environment recorded keeps the rules of an episode."""

    def test_its_limits_are_those_of_a_model_by_default(self) -> None:
        crop = CropConfig(max_pixels=1)
        model = ModelConfig(id="m", first_view={"max_pixels": 1}, crop=crop)
        assert (ExtraInfo().max_zooms, ExtraInfo().min_area) == (model.max_zooms, crop.min_area)

    def test_regression_a_hundred_blind_calls_are_over_the_limit(self) -> None:
        """They used to earn 1.35 without a fault."""
        calls = "".join(
            f"<zoom_roi x0={i / 100} y0=0 x1={i / 100 + 0.04} y1=0.9/>" for i in range(95)
        )
        spam = compute_score("demo", calls + ZOOM + ANSWER, "42", INFO)
        assert (spam["valid_zoom_count"], spam["over_limit"]) == (3, 93)
        assert spam["fault_penalty"] == 0.5
        assert spam["score"] == 0.65
        assert compute_score("demo", calls + ZOOM + ANSWER, "42", INFO | {"max_zooms": 99})[
            "best_region_coverage"
        ]

    def test_a_box_below_the_least_area_shows_nothing(self) -> None:
        speck = "<zoom_roi x0=0.6 y0=0.6 x1=0.61 y1=0.61/>"
        assert compute_score("demo", speck + ANSWER, "42", INFO)["invalid_bbox_count"] == 1
        assert not compute_score("demo", speck + ANSWER, "42", INFO)["valid_zoom_count"]
        allowed = compute_score("demo", speck + ANSWER, "42", INFO | {"min_area": 1e-5})
        assert allowed["valid_zoom_count"] == 1

    def test_a_repeat_is_one(self) -> None:
        assert compute_score("demo", ZOOM * 2 + ANSWER, "42", INFO)["redundant_zoom_count"] == 1

    def test_a_crop_is_seen_by_the_turn_after_its_call(self) -> None:
        turns = [f"{ANSWER} or not: {ZOOM}", f"so {ANSWER} {AWAY}"]
        result = compute_score("demo", "", "42", INFO | {"policy_turns": turns})
        assert (result["zoom_call_count"], result["valid_zoom_count"]) == (2, 1)
        assert result["acc"] == 1

    @pytest.mark.parametrize("scripted", [[ZOOM], [AWAY, ZOOM], [ZOOM + ZOOM, "<zoom_roi/>"]])
    def test_it_is_paid_as_the_episode_that_it_tells_of(self, scripted: list[str]) -> None:
        sample = make_sample()
        episode = run([*scripted, ANSWER], sample=sample)
        told = executed(episode, sample)
        del told["tool_trace"], told["final_answer"]
        paid = compute_score("demo", "", "42", told | {"max_zooms": 2, "min_area": 0.0025})
        assert paid["score"] == pytest.approx(episode_reward(episode, sample).reward)

    def test_a_look_is_needed_where_all_known_evidence_is_small(self) -> None:
        small = {"evidence": EVIDENCE}
        assert compute_score("demo", ANSWER, "42", small)["score"] == pytest.approx(0.825)
        large = {"evidence": [{"box": [0, 0, 0.5, 0.5]}]}
        assert compute_score("demo", ANSWER, "42", large)["score"] == 1.0
        assert compute_score("demo", ANSWER, "42")["score"] == 1.0

    def test_pixels_need_the_size_that_they_are_of(self) -> None:
        with pytest.raises(PayloadError, match="view_size: zoom_syntax qwen2_5_vl is in pixels"):
            compute_score("demo", ANSWER, "42", {"zoom_syntax": "qwen2_5_vl"})


# What follows the model's first reply where a whole rollout is decoded into one text, with special
# tokens and without.
OBSERVATIONS = {
    "tool response": f"<tool_response>{ANSWER}</tool_response>",
    "tool response, cut off": f"<tool_response>{ANSWER}",
    "ChatML": f"<|im_end|>\n<|im_start|>user\n{ANSWER}<|im_end|>\n<|im_start|>assistant\n",
    "ChatML, tool": f"<|im_start|>tool\n{ANSWER}",
    "ChatML, bare": f"\nuser\n{ANSWER}\nassistant\n",
    "ChatML, bare, cut off": f"\ntool\n{ANSWER}",
    "SmolVLM": f"<end_of_utterance>\nUser: {ANSWER}<end_of_utterance>\nAssistant:",
    "SmolVLM, bare": f"\nUser: {ANSWER}\nAssistant:",
    "LLaVA": f"</s>USER: {ANSWER} ASSISTANT:",
    "LLaVA, bare": f" USER: {ANSWER} ASSISTANT:",
    "GLM": f"<|user|>\n{ANSWER}<|assistant|>\n",
    "GLM, tool": f"<|observation|>\n{ANSWER}<|assistant|>\n",
    "Llama": f"<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{ANSWER}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "Llama, bare": f"user\n\n{ANSWER}assistant\n\n",
    "Llama, tool": f"<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n{ANSWER}",
    "Gemma": f"<end_of_turn>\n<start_of_turn>user\n{ANSWER}<end_of_turn>\n<start_of_turn>model\n",
    "Gemma, bare": f"\nuser\n{ANSWER}\nmodel\n",
    "Gemma 4": f"<turn|>\n<|turn>user\n{ANSWER}<turn|>\n<|turn>model\n",
    "Mistral": f"</s> [INST] {ANSWER} [/INST]",
    "Mistral, tool": f"</s>[TOOL_RESULTS]{ANSWER}[/TOOL_RESULTS]",
    "Phi": f"<|end|>\n<|user|>\n{ANSWER}<|end|>\n<|assistant|>\n",
    "DeepSeek": f"<｜end▁of▁sentence｜><｜User｜>{ANSWER}<｜Assistant｜>",
    "Cohere": f"<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{ANSWER}",
    "Kimi": f"<|im_end|><|im_user|>user<|im_middle|>{ANSWER}<|im_end|><|im_assistant|>",
    "an image": f"<|vision_start|><|image_pad|><|vision_end|>{ANSWER}",
    "an image, as a word": f"<image>{ANSWER}",
}


class TestWhoWroteIt:
    """Text never proves that, so several turns need `policy_turns`."""

    @pytest.mark.parametrize("observation", OBSERVATIONS.values(), ids=OBSERVATIONS)
    def test_regression_an_answer_in_an_observation_is_not_the_models(
        self, observation: str
    ) -> None:
        with pytest.warns(RuntimeWarning, match="give policy_turns in extra_info"):
            result = compute_score("demo", f"{ZOOM}{observation} I cannot read it.", "42", INFO)
        assert (result["score"], result["acc"], result["pred"]) == (0.0, 0.0, "")
        assert result["tool_trace_source"] == "refused"
        assert result["zoom_call_count"] == 0
        own = compute_score("demo", observation + ANSWER, "42", INFO | {"policy_turns": ["no"]})
        assert (own["acc"], own["tool_trace_source"]) == (0.0, "parsed")

    def test_policy_turns_are_taken_at_their_word(self) -> None:
        """They are how to say that the model itself wrote such text."""
        said = f"The form says\nUser: Smith\n{ANSWER}"
        with pytest.warns(RuntimeWarning):
            assert compute_score("demo", said, "42")["score"] == 0
        assert compute_score("demo", said, "42", {"policy_turns": [said]})["score"] == 1

    @pytest.mark.parametrize(
        "said",
        [
            f"{ANSWER}<|im_end|>",
            f"{ANSWER}<|im_end|>\n<|endoftext|><|endoftext|>",
            f"{ANSWER}</s>",
            f"{ANSWER}<end_of_turn>\n",
            f"{ANSWER}<end_of_utterance>",
            f"<think>the user asks for a tool: a model of the system</think>{ANSWER}",
            f"<|object_ref_start|>total<|object_ref_end|><|box_start|>(1,2)<|box_end|>{ANSWER}",
            f"<answer><|begin_of_box|>42<|end_of_box|></answer>{ANSWER}",
        ],
    )
    def test_a_single_reply_is_read_with_the_tokens_that_end_it_and_those_within(
        self, said: str
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert compute_score("demo", said, "42")["acc"] == 1

    def test_a_recorded_episode_needs_no_text(self) -> None:
        sample = make_sample()
        told = executed(run([ZOOM, ANSWER], sample=sample), sample)
        del told["policy_turns"]
        text = f"{ZOOM}\nuser\n<answer>7</answer>"
        assert compute_score("demo", text, "42", told)["score"] == pytest.approx(1.35)
        del told["final_answer"]
        with pytest.warns(RuntimeWarning):
            assert compute_score("demo", text, "42", told)["score"] == 0

    def test_a_model_that_said_nothing_has_not_answered(self) -> None:
        assert compute_score("demo", ANSWER, "42", {"policy_turns": []})["acc"] == 0


def wraps() -> Iterator[Callable[[Any], Any]]:
    yield lambda value: value
    yield lambda value: value if isinstance(value, str) else json.dumps(value)
    yield lambda value: np.array(value, dtype=object) if isinstance(value, list) else value
    yield lambda value: np.array(value) if isinstance(value, list) else np.array([value])[0]


FIELDS_GIVEN: dict[str, tuple[Any, Any]] = {
    "answers": (["41", "42"], ["nothing"]),
    "evidence": (EVIDENCE, []),
    "requires_zoom": (True, False),
    "policy_turns": ([ZOOM, ANSWER], [ZOOM, "hm"]),
    "zoom_syntax": ("zoom_roi", "mini_o3"),
    "max_zooms": (1, 0),
    "min_area": (0.01, 0.5),
}


class TestOneNormaliser:
    """Every field may be of numpy, JSON or null, whatever else it is."""

    @pytest.mark.parametrize("name", FIELDS_GIVEN)
    @pytest.mark.parametrize("wrap", list(wraps()), ids=["plain", "JSON", "objects", "numpy"])
    def test_a_field_means_the_same_in_every_form(
        self, name: str, wrap: Callable[[Any], Any]
    ) -> None:
        base = {key: fine for key, (fine, _) in FIELDS_GIVEN.items()}
        plain = [compute_score("demo", "", "no", base | {name: v}) for v in FIELDS_GIVEN[name]]
        assert plain[0]["score"] == pytest.approx(1.35)
        assert plain[1]["score"] != plain[0]["score"]
        for value, expected in zip(FIELDS_GIVEN[name], plain, strict=True):
            assert compute_score("demo", "", "no", base | {name: wrap(value)}) == expected

    def test_all_of_it_may_be_json(self) -> None:
        base = {key: fine for key, (fine, _) in FIELDS_GIVEN.items()}
        assert compute_score("demo", "", "no", json.dumps(base))["score"] == pytest.approx(1.35)

    @pytest.mark.parametrize("name", sorted(set(ExtraInfo.__match_args__) - {"final_answer"}))
    @pytest.mark.parametrize("null", [None, float("nan"), np.nan])
    def test_null_is_as_if_it_were_not_there(self, name: str, null: Any) -> None:
        without = {key: value for key, value in INFO.items() if key != name}
        text = ZOOM + ANSWER
        expected = compute_score("demo", text, "42", without)
        assert compute_score("demo", text, "42", without | {name: null}) == expected

    def test_a_final_answer_of_null_says_that_none_counts(self) -> None:
        assert compute_score("demo", ANSWER, "42", {"final_answer": None})["acc"] == 0
        assert compute_score("demo", "", "42", {"final_answer": 42})["acc"] == 1

    @pytest.mark.parametrize("word", ["false", "False", "0", 0, np.bool_(False), "no"])
    def test_false_is_false_however_it_is_written(self, word: Any) -> None:
        info = {"evidence": EVIDENCE, "requires_zoom": word}
        assert compute_score("demo", ANSWER, "42", info)["score"] == 1.0

    @pytest.mark.parametrize("plain", ["42", "true", "null", "3.50", '"quoted"', "{}", "[7]"])
    def test_a_plain_answer_that_is_json_stays_text(self, plain: str) -> None:
        said = f"<answer>{plain}</answer>"
        assert compute_score("demo", said, plain)["acc"] == 1
        assert compute_score("demo", said, "no", {"answers": [plain]})["acc"] == 1
        assert compute_score("demo", said, "no", {"answers": plain})["acc"] == 1

    @pytest.mark.parametrize(
        "truth",
        [
            *("42", 42, np.str_("42"), np.int64(42)),
            *(["x", "42"], ("x", "42"), np.array(["x", "42"]), ["42", None, float("nan"), " "]),
            *('["x", "42"]', "[42, null]", '{"answers": ["42"]}'),
            *({"answers": ["42"]}, {"ground_truth": "42"}, {"answers": None, "ground_truth": 42}),
        ],
    )
    def test_accepted_answers_come_in_many_shapes(self, truth: Any) -> None:
        assert compute_score("demo", ANSWER, truth)["acc"] == 1
        assert compute_score("demo", ANSWER, "no", {"answers": truth})["acc"] == 1
        for nothing in ("None", "nan", "null"):
            assert compute_score("demo", f"<answer>{nothing}</answer>", truth)["acc"] == 0

    @pytest.mark.parametrize("truth", [None, "", [], [None], {"answers": None}, float("nan")])
    def test_without_an_accepted_answer_nothing_is_scored(self, truth: Any) -> None:
        with pytest.raises(PayloadError, match="no accepted answer: give ground_truth"):
            compute_score("demo", ANSWER, truth)

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("evidence", [EVIDENCE[0], {"label": "total"}], "evidence 1 has no box: give box"),
            ("evidence", [{"box": [0.1, 0.1, 0.2]}], "evidence 0 has no box: give box"),
            ("evidence", [{"box": [0.1, 0.1, 0.2, None]}], "evidence 0 has no box: give box"),
            ("evidence", [{"box": [0.1, 0.1, 0.2, np.nan]}], "evidence 0: box has a coordinate"),
            ("evidence", [{"box": [0.3, 0.1, 0.2, 0.2]}], "evidence 0: box is reversed"),
            ("evidence", [{"box": [10, 10, 50, 20]}], "evidence 0: box .* divide pixels by"),
            ("evidence", [EVIDENCE[0] | {"weight": -1}], "evidence 0: weight must be"),
            ("evidence", [EVIDENCE[0] | {"weight": np.nan}], "evidence 0: weight must be"),
            ("evidence", [EVIDENCE[0] | {"weight": 0}], "every weight is 0"),
            ("evidence", "somewhere", "give a list of mappings, not 'somewhere'"),
            ("tool_trace", [{"status": "zoomed"}], "zoom call 0 is no recorded step"),
            ("tool_trace", [{"statsu": "zoom_executed"}], "zoom call 0 is no recorded step"),
            ("requires_zoom", "perhaps", "give true or false, not 'perhaps'"),
            ("max_zooms", "many", "give a number of at least 0, not 'many'"),
            ("max_zooms", 1.5, "give a whole number, not 1.5"),
            ("min_area", float("inf"), "give a number from 0 to 1, not inf"),
            ("zoom_rate", 3, "give a number from 0 to 1, not 3"),
            ("view_size", [100], r"give \[width, height\] in pixels"),
            ("zoom_syntax", "zoom", "'zoom' is not defined; known: deepeyes"),
            ("task", "long_answer", "'long_answer' is not defined; known: "),
        ],
    )
    def test_what_cannot_be_read_is_named(self, field: str, value: Any, message: str) -> None:
        with pytest.raises(PayloadError, match=f"^extra_info: {field}: {message}") as error:
            compute_score("demo", ANSWER, "42", {field: value})
        assert "\n" not in str(error.value)
        assert isinstance(error.value, UserError | ValueError)

    def test_extra_info_that_is_no_mapping_is_refused(self) -> None:
        with pytest.raises(PayloadError, match="extra_info: give a mapping or its JSON, not"):
            compute_score("demo", ANSWER, "42", "nothing")  # type: ignore[arg-type]


def test_constants_can_be_given_and_are_checked() -> None:
    assert compute_score("demo", ZOOM + ANSWER, "42", INFO, correct_weight=0.2)["score"] == 1.2
    with pytest.raises(PayloadError, match="constants of the reward: .* lie"):
        compute_score("demo", ANSWER, "42", INFO, correct_weight=2.0)
    with pytest.raises(PayloadError, match="'corect_weight' is no constant of the reward; known: "):
        compute_score("demo", ANSWER, "42", INFO, corect_weight=0.2)


def test_the_bonus_is_paid_and_named() -> None:
    info = INFO | {"zoom_rate": 0.1, "step": 0}
    paid = compute_score("demo", ZOOM + ANSWER, "42", info, curiosity=0.5)
    assert paid["curiosity_bonus"] == pytest.approx(0.1)
    assert paid["score"] == pytest.approx(1.35 + 0.1)


def test_crops_are_priced_by_the_tokens_that_are_told() -> None:
    said, info = ZOOM + ANSWER, INFO | {"crop_tokens": 0.5}
    priced = compute_score("demo", said, "42", info, visual_token_cost=0.1)
    assert priced["score"] == pytest.approx(1.35 - 0.05)
    assert priced["visual_token_cost"] == pytest.approx(0.05)
    with pytest.raises(PayloadError, match="extra_info: crop_tokens: crops have a visual_token_co"):
        compute_score("demo", said, "42", INFO, visual_token_cost=0.1)
