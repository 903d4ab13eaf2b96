"""The gallery: what a model really saw, each picture once, and nothing hostile in the page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE, SHUFFLED_CROP
from active_perception_r1.report.answers import Entry
from active_perception_r1.report.gallery.episodes import Data, gallery_data
from active_perception_r1.report.gallery.page import render
from tests.gallery_pages import MODES, answers, make_gallery
from tests.scripted import MODEL, make_sample


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


def test_every_question_is_there_in_every_model_and_mode(gallery: Data) -> None:
    assert len(gallery["samples"]) == 2
    assert len(gallery["episodes"]) == 2 * 2 * len(MODES)


def test_questions_beyond_the_limit_are_left_out_whole(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path, limit=2 * len(MODES) + 3)
    assert (len(gallery["samples"]), gallery["total"]) == (1, 2)
    assert len(gallery["episodes"]) == 2 * len(MODES)


def test_equal_pictures_are_stored_once(gallery: Data) -> None:
    uris = [(p["uri"], tuple(p["size"])) for p in gallery["pictures"]]
    used = [i for e in gallery["episodes"] for turn in e["turns"] for i in turn["pictures"]]
    assert len(set(uris)) == len(uris) < len(used)


def test_what_is_shown_is_checked_against_what_was_recorded(gallery: Data) -> None:
    """Crops of the second sample were shuffled with another distractor than the slice gives it."""
    inexact = {
        (e["sample"], MODES[e["entry"] % len(MODES)]) for e in gallery["episodes"] if not e["exact"]
    }
    assert inexact == {(1, SHUFFLED_CROP)}


def test_predictions_of_another_slice_are_refused(tmp_path: Path) -> None:
    make_gallery(tmp_path)
    write_samples(tmp_path / "other.parquet", [make_sample(3)])
    entry = Entry("before", ACTIVE, MODEL, tmp_path / "before-active.jsonl")
    with pytest.raises(DataError, match=r"before-active\.jsonl: not the predictions of"):
        gallery_data(answers(tmp_path / "other.parquet", [entry]), 10)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.seen.append(tag)


def test_hostile_text_adds_no_tag_to_the_page(gallery: Data) -> None:
    attack = "</script><script>alert(1)</script><img src=x onerror=alert(1)><!--\u2028"
    samples = [{**sample, "question": attack, "id": attack} for sample in gallery["samples"]]
    hostile = {**gallery, "study": attack, "samples": samples}
    plain, attacked = Tags(), Tags()
    plain.feed(render(gallery))
    attacked.feed(render(hostile))
    assert attacked.seen == plain.seen


def test_the_page_names_no_address_and_allows_no_other_script(gallery: Data) -> None:
    page = render(gallery)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy[1]


def test_names_of_pages_are_kept_as_they_are(tmp_path: Path) -> None:
    odd = replace(make_sample(0), doc_id="../<b>\u202egpj.exe")
    gallery = make_gallery(tmp_path, [odd, make_sample(7)])
    assert gallery["samples"][0]["page"] == "../<b>\u202egpj.exe"
