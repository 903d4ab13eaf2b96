"""What a model replies can be written down and sent on, whatever its server sends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Episode
from active_perception_r1.sim.messages import FinishReason, Message, Reply, request_id
from tests.scripted import ZOOM, run

any_text = st.text(st.characters() | st.characters(categories=["Cs"]))


@given(any_text)
def test_a_reply_is_text_that_utf_8_can_hold(text: str) -> None:
    reply = Reply(text, FinishReason.STOP, error=text)
    assert reply.text.encode().decode() == reply.text == reply.error
    assert request_id([Message("assistant", (reply.text,))])


@given(st.text())
def test_what_utf_8_can_hold_is_not_touched(text: str) -> None:
    assert Reply(text, FinishReason.STOP).text == text


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (r'"\ud83d"', "�"),
        (r'"a\udcffb"', "a�b"),
        (r'"\ude00\ud83d"', "��"),
        (r'"\ud83d\ude00"', "😀"),
    ],
)
def test_halves_of_surrogate_pairs_become_replacement_characters(sent: str, text: str) -> None:
    assert Reply(json.loads(sent), FinishReason.STOP).text == text


def test_an_episode_with_half_a_surrogate_pair_in_a_reply_can_be_saved() -> None:
    episode = run([f"\ud83d{ZOOM}", "<answer>\ud83d42</answer>"], ACTIVE)
    assert episode.answer == "�42"
    assert Episode.from_json(episode.to_json().encode().decode()) == episode
