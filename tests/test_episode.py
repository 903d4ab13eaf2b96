"""An episode: what a model is asked, what it may do, and how it ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from active_perception_r1.envs.zoom_simulator import Crop
from active_perception_r1.geometry import Box
from active_perception_r1.modes import (
    ACTIVE,
    BASELINE,
    BLANK_CROP,
    CALL_ONLY,
    ORACLE,
    RANDOM_CROP,
    SHUFFLED_CROP,
    STRICT_ZOOM,
    episode_rules,
    start_episode,
)
from active_perception_r1.prompts import PROMPT_SETS
from active_perception_r1.records import Episode, Evidence, ToolStatus
from active_perception_r1.sim.driver import Batches, run_episodes
from active_perception_r1.sim.live_reinjection import LiveEpisode, Pages
from active_perception_r1.sim.messages import FinishReason, Reply, request_id
from active_perception_r1.utils.trace_parser import SYNTAXES, Frame, parse_actions
from tests.scripted import AWAY, MODEL, ZOOM, make_sample, run, start, stop, text_of

ANSWER = "<answer>42</answer>"
BAD = "<zoom_roi x0=0.1/>"
OUTSIDE = '<zoom_roi x0="0.5" y0="0.5" x1="1.5" y1="0.75"/>'
TOOL_MODES = [ACTIVE, STRICT_ZOOM, BLANK_CROP, SHUFFLED_CROP, RANDOM_CROP, CALL_ONLY]


@pytest.mark.parametrize(
    ("mode", "replies", "status", "answer"),
    [
        (BASELINE, [ANSWER], ToolStatus.ANSWERED, "42"),
        (BASELINE, ["42"], ToolStatus.NO_ANSWER, None),
        (BASELINE, [ZOOM + ANSWER], ToolStatus.ANSWERED, "42"),
        (BASELINE, [ZOOM], ToolStatus.NO_ANSWER, None),
        (ORACLE, [ANSWER], ToolStatus.ANSWERED, "42"),
        (ACTIVE, [ANSWER], ToolStatus.ANSWERED_WITHOUT_ZOOM, "42"),
        (ACTIVE, [ZOOM, ANSWER], ToolStatus.ANSWERED, "42"),
        (ACTIVE, [ZOOM, AWAY, ANSWER], ToolStatus.ANSWERED, "42"),
        (ACTIVE, [BAD, ANSWER], ToolStatus.ANSWERED_WITHOUT_ZOOM, "42"),
        (ACTIVE, [BAD, ZOOM, ANSWER], ToolStatus.ANSWERED, "42"),
        (ACTIVE, [ZOOM, "hm"], ToolStatus.NO_ANSWER, None),
        (ACTIVE, [ZOOM, ZOOM, AWAY, AWAY], ToolStatus.ZOOM_LIMIT_REACHED, None),
        (ACTIVE, [BAD, BAD, BAD, BAD], ToolStatus.MALFORMED_ZOOM, None),
        (STRICT_ZOOM, [ZOOM, ANSWER], ToolStatus.ANSWERED, "42"),
        (STRICT_ZOOM, [ANSWER], ToolStatus.ANSWERED_WITHOUT_ZOOM, None),
        (STRICT_ZOOM, [BAD], ToolStatus.MALFORMED_ZOOM, None),
        (STRICT_ZOOM, [OUTSIDE], ToolStatus.OUT_OF_BOUNDS, None),
        (STRICT_ZOOM, [ZOOM, BAD], ToolStatus.MALFORMED_ZOOM, None),
        (STRICT_ZOOM, [ZOOM, ZOOM, AWAY], ToolStatus.ZOOM_LIMIT_REACHED, None),
        (STRICT_ZOOM, ["hm"], ToolStatus.NO_ANSWER, None),
    ],
)
def test_how_an_episode_ends(
    mode: str, replies: list[str], status: ToolStatus, answer: str | None
) -> None:
    episode = run(replies, mode)
    assert episode.tool_status is status
    assert episode.answer == answer
    assert len(episode.turns) == len(replies)


@pytest.mark.parametrize("mode", TOOL_MODES)
def test_an_answer_beside_a_zoom_does_not_count(mode: str) -> None:
    episode = run([ANSWER + ZOOM + ANSWER, "<answer>7</answer>"], mode)
    assert episode.answer == "7"


def test_a_reply_cut_off_by_the_token_limit_never_counts() -> None:
    cut = Reply(ANSWER, FinishReason.LENGTH)
    assert run([cut], BASELINE).tool_status is ToolStatus.TRUNCATED
    assert run([cut], BASELINE).answer is None
    assert run([Reply(ZOOM, FinishReason.LENGTH)], ACTIVE).steps == ()


def test_an_engine_error_ends_the_episode_as_one_and_never_as_an_answer() -> None:
    episode = run([ZOOM, Reply(ANSWER, FinishReason.ERROR, error="gone")])
    assert episode.tool_status is ToolStatus.BACKEND_ERROR
    assert episode.error == "gone"
    assert episode.answer is None
    assert not episode.steps[0].shown


def test_regression_a_crop_is_credited_only_once_the_model_was_shown_it() -> None:
    live = start()
    live.receive(stop(ZOOM))
    live.abandon(ToolStatus.BACKEND_ERROR, "killed")
    (step,) = live.record("m", "r", 0).steps
    assert step.executed is not None
    assert not step.shown
    assert run([ZOOM, ANSWER]).steps[0].shown


def test_every_call_of_a_turn_is_carried_out_in_order_up_to_the_limit() -> None:
    live = start()
    live.receive(stop(ZOOM + BAD + AWAY + ZOOM))
    observation = live.request[-1]
    assert len(observation.images) == 2
    assert "not carried out" in text_of(observation)
    live.receive(stop(ANSWER))
    assert [step.status for step in live.record("m", "r", 0).steps] == [
        ToolStatus.ZOOM_EXECUTED,
        ToolStatus.MALFORMED_ZOOM,
        ToolStatus.ZOOM_EXECUTED,
        ToolStatus.ZOOM_LIMIT_REACHED,
    ]


def test_a_zoom_in_the_last_turn_is_over_the_limit_since_nobody_would_see_it() -> None:
    episode = run([BAD, BAD, BAD, ZOOM])
    assert episode.steps[-1].status is ToolStatus.ZOOM_LIMIT_REACHED
    assert episode.steps[-1].executed is None


def test_repeats_are_marked_redundant() -> None:
    episode = run([ZOOM, ZOOM, ANSWER])
    assert [step.redundant for step in episode.steps] == [False, True]


def test_controls_send_crops_of_the_same_size_with_other_pixels() -> None:
    crops = {}
    for mode in (ACTIVE, BLANK_CROP, SHUFFLED_CROP):
        live = start(mode)
        live.receive(stop(ZOOM))
        (crops[mode],) = live.request[-1].images
        live.receive(stop(ANSWER))
        assert live.record("m", "r", 0).steps[0].executed == Box(0.5, 0.5, 0.75, 0.75)
    assert len({crop.size for crop in crops.values()}) == 1
    assert len({crop.tobytes() for crop in crops.values()}) == 3
    assert len(crops[BLANK_CROP].getcolors()) == 1


def test_the_oracle_sees_the_evidence_and_a_row_without_evidence_has_no_oracle() -> None:
    (view,) = start(ORACLE).request[0].images
    (page,) = start(BASELINE).request[0].images
    assert view.tobytes() != page.tobytes()
    unknown = start(ORACLE, make_sample(evidence=()))
    assert unknown.finished
    assert unknown.record("m", "r", 0).tool_status is ToolStatus.NO_EVIDENCE


LABELS = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.floats(0, 0.8),
        st.floats(0, 0.8),
        st.floats(0.05, 0.2),
    ),
    max_size=3,
)
SCRIPTS = st.lists(st.sampled_from([ZOOM, AWAY, BAD, OUTSIDE, "hm"]), max_size=4)


@pytest.mark.parametrize("mode", [BASELINE, *TOOL_MODES])
@given(labels=LABELS, script=SCRIPTS, requires_zoom=st.booleans())
def test_regression_no_label_changes_a_byte_of_any_prompt(
    mode: str,
    labels: list[tuple[str, float, float, float]],
    script: list[str],
    requires_zoom: bool,
) -> None:
    """The observation a model reads holds nothing computed from answers or evidence."""
    other = make_sample(
        answers=tuple(text for text, *_ in labels) or ("x",),
        evidence=tuple(
            Evidence(text, Box(x, y, x + side, y + side)) for text, x, y, side in labels
        ),
        requires_zoom=requires_zoom,
    )
    assert prompts(mode, make_sample(), script) == prompts(mode, other, script)


def prompts(mode: str, sample, script: Sequence[str]) -> list[str]:  # type: ignore[no-untyped-def]
    """Hashes over every byte that the model is shown, request by request."""
    live, seen = start(mode, sample), []
    for reply in itertools.chain(script, itertools.repeat(ANSWER)):
        if live.finished:
            return seen
        seen.append(request_id(live.request))
        live.receive(stop(reply))
    raise AssertionError("unreachable")


@pytest.mark.parametrize("mode", TOOL_MODES)
@given(st.lists(st.sampled_from([ZOOM, AWAY, BAD, OUTSIDE, ANSWER, "hm", ZOOM + AWAY]), min_size=4))
def test_whatever_the_model_says_the_rules_hold(mode: str, script: list[str]) -> None:
    episode = run([*script, ANSWER, ANSWER], mode)
    executed = [step for step in episode.steps if step.executed is not None]
    assert len(episode.turns) <= MODEL.max_turns
    assert len(executed) <= MODEL.max_zooms
    assert all(step.shown <= (step.executed is not None) for step in episode.steps)
    assert (episode.answer is not None) <= (
        episode.tool_status in (ToolStatus.ANSWERED, ToolStatus.ANSWERED_WITHOUT_ZOOM)
    )
    if mode == CALL_ONLY:
        assert not episode.shown_crops
    if mode == STRICT_ZOOM and episode.answer is not None:
        assert episode.shown_crops
        assert all(step.status is ToolStatus.ZOOM_EXECUTED for step in episode.steps)
    assert Episode.from_json(episode.to_json()) == episode


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("mode", [ACTIVE, STRICT_ZOOM])
def test_the_prompt_shows_a_call_that_the_parser_accepts(mode: str, syntax: str) -> None:
    model = MODEL.model_copy(update={"zoom_syntax": syntax})
    live = start(mode, model=model)
    example = SYNTAXES[syntax].example
    assert example in text_of(live.request[0])
    call = example.replace("x0, y0, x1, y1", "0, 0, 90, 90") if "x0, y0" in example else ZOOM
    assert parse_actions(call, SYNTAXES[syntax], Frame((400, 300), (115, 86)))[0].fault is None


@pytest.mark.parametrize("prompt_set", PROMPT_SETS)
def test_prompts_never_offer_a_zoom_that_would_be_refused(prompt_set: str) -> None:
    changed = {"prompts": prompt_set, "max_zooms": 1, "max_turns": 2}
    if prompt_set == "native":
        changed |= {"zoom_syntax": "qwen3_vl"}
    model = MODEL.model_copy(update=changed)
    live = start(ACTIVE, model=model)
    told = [text_of(message) + "".join(message.tools) for message in live.request]
    assert "zoom" in "".join(told).lower()
    live.receive(stop(ZOOM))
    assert "may zoom" not in text_of(live.request[-1]).lower()


def test_the_driver_keeps_places_filled_and_yields_each_episode_once() -> None:
    lengths: list[int] = []

    def generate(episodes: Sequence[LiveEpisode]) -> list[Reply]:
        lengths.append(len(episodes))
        return [stop(ANSWER if len(e.request) > 1 else ZOOM) for e in episodes]

    rules = episode_rules(ACTIVE, MODEL)
    drawn = (start_episode(make_sample(i), rules) for i in range(7))
    done = [episode.sample_id for episode in run_episodes(drawn, Batches(generate), live=3)]
    assert sorted(done) == [f"sample-{i}" for i in range(7)]
    assert lengths == [3, 3, 3, 3, 1, 1]


def test_the_driver_needs_no_model_for_episodes_that_are_over_at_the_start() -> None:
    rules = episode_rules(ORACLE, MODEL)
    episode = start_episode(make_sample(evidence=()), rules)
    nobody = Batches(lambda _: pytest.fail("asked"))
    assert list(run_episodes([episode], nobody, live=2)) == [episode]


def test_an_episode_goes_on_with_its_reply_and_waits_for_no_other() -> None:
    rules = episode_rules(ACTIVE, MODEL)
    engine = OneByOne(slow="sample-0")
    drawn = (start_episode(make_sample(i), rules) for i in range(5))
    done = [episode.sample_id for episode in run_episodes(drawn, engine, live=2)]
    assert done == ["sample-1", "sample-2", "sample-3", "sample-4", "sample-0"]
    assert engine.most == 2


def test_the_driver_begins_with_a_few_while_the_pages_of_others_are_opened() -> None:
    asked: list[int] = []

    def generate(episodes: Sequence[LiveEpisode]) -> list[Reply]:
        asked.append(len(episodes))
        return [stop(ANSWER if len(e.request) > 1 else ZOOM) for e in episodes]

    rules = episode_rules(ACTIVE, MODEL)
    drawn = (start_episode(make_sample(i), rules) for i in range(9))
    done = list(run_episodes(drawn, Batches(generate), live=6, first=2))
    assert len(done) == 9
    assert asked == [2, 6, 6, 3, 1]


def test_a_reply_is_read_while_the_engine_works_on_the_next() -> None:
    rules = episode_rules(ACTIVE, MODEL)
    engine = AsTheyCome()
    drawn = (start_episode(make_sample(i), rules) for i in range(4))
    done = [episode.sample_id for episode in run_episodes(drawn, engine, live=4)]
    assert done == [f"sample-{i}" for i in range(4)]
    assert engine.read_meanwhile == [True] * 8


def test_an_engine_is_asked_the_same_however_long_crops_take() -> None:
    def asked(slow: str) -> list[list[str]]:
        batches = []

        def generate(episodes: Sequence[LiveEpisode]) -> list[Reply]:
            batches.append([request_id(episode.request) for episode in episodes])
            return [stop(ANSWER if len(e.request) > 1 else ZOOM) for e in episodes]

        def slowly(crop: Crop, pages: Pages) -> Image.Image:
            if pages.draw.startswith(slow):
                time.sleep(0.05)
            return crop.image

        rules = replace(episode_rules(ACTIVE, MODEL), crop_content=slowly)
        drawn = (start_episode(make_sample(i), rules) for i in range(8))
        list(run_episodes(drawn, Batches(generate), live=5))
        return batches

    assert asked(slow="sample-0") == asked(slow="sample-3") == asked(slow="nobody")


class AsTheyCome:
    """An engine that gives replies one after the other, and looks whether the last one was read."""

    def __init__(self) -> None:
        self.asked: list[LiveEpisode] = []
        self.read_meanwhile: list[bool] = []

    def submit(self, episode: LiveEpisode) -> None:
        self.asked.append(episode)

    def collect(self) -> Iterator[tuple[LiveEpisode, Reply]]:
        asked, self.asked = self.asked, []
        for episode in asked:
            before = len(episode.request)
            yield episode, stop(ANSWER if before > 1 else ZOOM)
            deadline = time.monotonic() + 60
            while not (read := episode.finished or len(episode.request) > before):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.001)
            self.read_meanwhile.append(read)


class OneByOne:
    """An engine that gives one reply at a time, and to one of the episodes only at the very end."""

    def __init__(self, slow: str) -> None:
        self.slow = slow
        self.asked: list[LiveEpisode] = []
        self.most = 0

    def submit(self, episode: LiveEpisode) -> None:
        self.asked.append(episode)
        self.most = max(self.most, len(self.asked))

    def collect(self) -> list[tuple[LiveEpisode, Reply]]:
        self.asked.sort(key=lambda episode: episode.sample_id == self.slow)
        episode = self.asked.pop(0)
        return [(episode, stop(ANSWER if len(episode.request) > 1 else ZOOM))]


def test_a_line_that_is_not_an_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="not an episode"):
        Episode.from_json("{}")
