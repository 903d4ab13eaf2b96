"""The reward in the calling convention of TRL, with what its trainer really hands over."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from active_perception_r1.errors import PayloadError
from active_perception_r1.rewards.active_vision_reward import (
    RewardConfig,
    compute_score,
    trl_reward,
)
from tests.scripted import ZOOM
from tests.test_compute_score import ANSWER, EVIDENCE, INFO


class TestTrl:
    """As TRL calls it: `f(prompts=, completions=, completion_ids=, trainer_state=, **columns)`."""

    PASSED: dict[str, Any] = {
        "completion_ids": [[1, 2], [3], [4]],
        "trainer_state": object(),
        "log_extra": print,
        "log_metric": print,
        "image": [None, None, None],
    }
    PROMPTS = ["?"] * 3
    SAID = [ZOOM + ANSWER, ANSWER, "hm"]
    PAID = [1.35, 0.825, -0.05]

    def paid(self, completions: list[Any], **columns: Any) -> list[float]:
        return trl_reward(prompts=self.PROMPTS, completions=completions, **self.PASSED, **columns)

    def test_it_takes_the_columns_of_compute_score(self) -> None:
        columns = {"ground_truth": ["42"] * 3, "extra_info": [INFO] * 3}
        paid = self.paid(self.SAID, **columns)
        assert paid == pytest.approx(self.PAID)
        assert all(type(value) is float for value in paid)
        for said, value in zip(self.SAID, paid, strict=True):
            assert compute_score("demo", said, "42", INFO)["score"] == value

    def test_it_takes_their_fields_as_columns(self) -> None:
        columns = {"answers": [["42"]] * 3, "evidence": [json.dumps(EVIDENCE)] * 3}
        assert self.paid(self.SAID, **columns) == pytest.approx(self.PAID)
        flat_first = columns | {"extra_info": [{"requires_zoom": True}, None, {"answers": ["7"]}]}
        assert self.paid(self.SAID, **flat_first) == pytest.approx(self.PAID)
        arrays = {"ground_truth": np.array(["42"] * 3), "extra_info": [json.dumps(INFO)] * 3}
        assert self.paid(self.SAID, **arrays) == pytest.approx(self.PAID)

    def test_completions_may_be_conversations(self) -> None:
        chats = [[{"role": "assistant", "content": said}] for said in self.SAID]
        columns = {"ground_truth": ["42"] * 3, "extra_info": [INFO] * 3}
        assert self.paid(chats, **columns) == pytest.approx(self.PAID)
        parts = [{"type": "text", "text": ANSWER}]
        chats[1] = [
            {"role": "assistant", "content": ZOOM},
            {"role": "tool", "content": [{"type": "image", "image": object()}]},
            {"role": "assistant", "content": parts},
        ]
        assert self.paid(chats, **columns)[1] == pytest.approx(1.35)

    def test_only_the_assistant_is_paid(self) -> None:
        chats = [
            [{"role": "assistant", "content": ZOOM}, {"role": role, "content": ANSWER}]
            for role in ("user", "tool", "system")
        ]
        assert max(self.paid(chats, ground_truth=["42"] * 3)) <= 0

    def test_regression_a_message_that_holds_more_than_one_reply_is_refused(self) -> None:
        """TRL decodes all tokens of a custom rollout into one message."""
        said = f"{ZOOM}\nuser\n{ANSWER}\nassistant\nno"
        chats = [[{"role": "assistant", "content": said}]] * 3
        with pytest.warns(RuntimeWarning, match="policy_turns"):
            assert self.paid(chats, ground_truth=["42"] * 3) == [0, 0, 0]
        with_turns = {"ground_truth": ["42"] * 3, "policy_turns": [[ZOOM, ANSWER]] * 3}
        assert self.paid(chats, **with_turns) == [1, 1, 1]

    def test_calls_that_a_template_took_out_of_the_text_are_read(self) -> None:
        function = {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [500, 500, 750, 750]}}
        call = {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}
        chat = [call, {"role": "tool", "content": "seen"}, {"role": "assistant", "content": ANSWER}]
        info = INFO | {"zoom_syntax": "qwen3_vl"}
        columns = {"ground_truth": ["42"] * 3, "extra_info": [info] * 3}
        assert self.paid([chat] * 3, **columns) == pytest.approx([1.35] * 3)
        with pytest.raises(PayloadError, match="completion 0: tool_calls cannot be read as"):
            self.paid([chat] * 3, ground_truth=["42"] * 3)

    def test_what_is_wrong_is_named_with_its_place(self) -> None:
        with pytest.raises(PayloadError, match="column ground_truth: 1 values for 3 completions"):
            self.paid(self.SAID, ground_truth=["42"])
        with pytest.raises(PayloadError, match="column answers: give a list"):
            self.paid(self.SAID, answers="42")
        with pytest.raises(PayloadError, match="completion 1: extra_info: max_zooms: "):
            self.paid(self.SAID, ground_truth=["42"] * 3, max_zooms=[1, -1, 1])
        with pytest.raises(PayloadError, match="completion 0: no accepted answer"):
            self.paid(self.SAID)

    def test_the_constants_may_be_others(self) -> None:
        config = RewardConfig(correct_weight=0.2)
        paid = trl_reward(["?"], [ZOOM + ANSWER], config, ground_truth=["42"], extra_info=[INFO])
        assert paid == pytest.approx([1.2])
