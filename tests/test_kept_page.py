"""Pages of episodes in progress stay decoded where there is room, and episodes are the same."""

from __future__ import annotations

import pytest
from PIL import Image

from active_perception_r1.envs import encoded_page, kept_page
from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.kept_page import KeptPage
from active_perception_r1.modes import ACTIVE, SHUFFLED_CROP, episode_rules, start_episode
from active_perception_r1.records import Episode
from active_perception_r1.sim.driver import Batches, run_episodes
from active_perception_r1.sim.messages import request_id
from tests.scripted import MODEL, ZOOM, make_sample, page_bytes, stop

PAGES = [page_bytes(i) for i in range(9)]
SIZE = 400 * 300 * 4  # bytes that Pillow takes for it


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is decoded from now on."""
    encoded_page._decoded.cache_clear()
    found: list[bytes] = []

    def opened(encoded: bytes) -> Image.Image:
        found.append(encoded)
        return open_page(encoded)

    monkeypatch.setattr(kept_page, "open_page", opened)
    return found


def test_a_page_stays_decoded_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_page, "ROOM", kept_page._room._taken + 2 * SIZE)
    again = decoded(monkeypatch)
    kept = [KeptPage(open_page(encoded), encoded) for encoded in PAGES[:3]]
    for page, encoded in zip(kept, PAGES, strict=False):
        assert page.size == (400, 300)
        assert page.image == open_page(encoded)
    assert again == [PAGES[2]]


def test_room_is_given_back_with_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_page, "ROOM", kept_page._room._taken + SIZE)
    again = decoded(monkeypatch)
    for encoded in PAGES:
        assert KeptPage(open_page(encoded), encoded).image.size == (400, 300)
    assert again == []


def test_a_page_without_its_file_is_kept_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_page, "ROOM", 0)
    page = Image.new("RGB", (8, 8), "red")
    assert KeptPage(page).image is page


@pytest.mark.parametrize("mode", [ACTIVE, SHUFFLED_CROP])
def test_episodes_are_the_same_without_room(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    again = decoded(monkeypatch)
    with_room = episodes(mode)
    assert again == []
    monkeypatch.setattr(kept_page, "ROOM", 0)
    assert episodes(mode) == with_room
    assert again


def episodes(mode: str) -> list[tuple[Episode, str]]:
    """Each with what was asked at last, images included."""
    rules = episode_rules(mode, MODEL)
    started = (start_episode(make_sample(i), rules, make_sample(i + 1)) for i in range(9))
    engine = Batches(
        lambda asked: [stop(ZOOM if len(e.request) == 1 else "<answer>4</answer>") for e in asked]
    )
    finished = run_episodes(started, engine, live=9)
    return [(episode.record("m", "", 0), request_id(episode.request)) for episode in finished]
