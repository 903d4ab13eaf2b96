"""The gallery in a real browser: filters, comparison, keyboard, and text that stays text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from active_perception_r1.report.gallery.episodes import Data
from active_perception_r1.report.gallery.page import render
from tests.gallery_pages import MODES, make_gallery
from tests.scripted import make_sample

EPISODES = 4 * len(MODES)
ATTACKS = [
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}",
    "\u202eevil\u202c \u2066isolated\u2069 \u200fmark",
    "line\u2028separators\u2029",
]


ALL_IMAGES_DECODE = """Promise.all([...document.images].map(image => {
    image.loading = "eager";
    return image.decode();
}))"""


class Opened:
    """A page with everything that it complained about or asked the network for."""

    def __init__(self, page: Page, file: Path, fragment: str = "") -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(file.as_uri() + fragment)
        page.wait_for_selector("html[data-ready]")

    @property
    def count(self) -> str:
        return self.page.inner_text("#count")

    @property
    def episode(self) -> tuple[str, str]:
        """Model and mode of what is shown, and its sample."""
        sample = self.page.inner_text("#episode h2 ~ div.quiet .text >> nth=0")
        return self.page.inner_text("article h3 >> nth=0"), sample

    def wait_for_address(self, *parts: str) -> None:
        """Until the address has exactly these parts."""
        self.page.wait_for_url(lambda url: set(urlsplit(url).fragment.split("&")) == set(parts))


def opened(browser: Browser, data: Data, folder: Path, fragment: str = "") -> Opened:
    file = folder / "gallery.html"
    file.write_text(render(data), encoding="utf-8")
    return Opened(browser.new_page(), file, fragment)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture
def gallery(chromium: Browser, data: Data, tmp_path: Path) -> Iterator[Opened]:
    one = opened(chromium, data, tmp_path)
    yield one
    assert one.complaints == []
    assert [url for url in one.requests if not url.startswith(("file:", "data:"))] == []
    one.page.close()


def test_it_opens_with_the_first_episode(gallery: Opened) -> None:
    assert gallery.count.startswith(f"{EPISODES} of {EPISODES} episodes")
    assert gallery.page.inner_text("#episode h2") == "What is the total?"
    assert gallery.page.locator("#list [aria-current]").count() == 1


def test_filters_leave_what_matches(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "before")
    page.select_option("#mode", "active")
    assert gallery.count == f"2 of {EPISODES} episodes, 0 of them right"
    page.select_option("#outcome", "right")
    assert gallery.count == f"None of {EPISODES} episodes"
    assert "No episode matches" in page.inner_text("#episode")
    page.click("button[type=reset]")
    page.locator("#count", has_text=f"{EPISODES} of").wait_for()
    page.fill("#search", "sample-7 42")
    assert gallery.count.startswith(f"{EPISODES // 2} of")


def test_before_and_after_stand_side_by_side(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "before")
    page.select_option("#mode", "active")
    page.select_option("#compare", label="after · active")
    titles = page.locator("article h3").all_inner_texts()
    assert titles == ["before · active", "after · active"]
    left, right = page.locator("article").all()
    assert "Answer: 7" in left.inner_text()
    assert "Answer: 42" in right.inner_text()
    assert right.locator("svg rect.zoom").count() == right.locator("svg rect.evidence").count() == 1


def test_crops_are_shown_as_what_they_were(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "after")
    for mode, caption in (
        ("active", "Crop 1,"),
        ("blank_crop", "Crop 1, blanked as a control,"),
        ("shuffled_crop", "Crop 1, from another page as a control,"),
        ("oracle", "The evidence,"),
    ):
        page.select_option("#mode", mode)
        assert caption in page.inner_text(".seen")
        page.evaluate(ALL_IMAGES_DECODE)


def test_every_answer_to_a_question_is_one_click_away(gallery: Opened) -> None:
    gallery.page.select_option("#mode", "baseline")
    gallery.page.click('button[aria-label="after, active: right"]')
    assert gallery.page.locator("article h3").all_inner_texts() == ["after · active"]


def test_the_keyboard_is_enough(gallery: Opened) -> None:
    page = gallery.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the episodes"
    page.keyboard.press("Enter")
    first = page.inner_text("article h3")
    page.keyboard.press("ArrowDown")
    second = page.inner_text("article h3")
    assert first != second
    assert page.evaluate("document.activeElement.matches('#list [aria-current]:focus-visible')")
    page.keyboard.press("k")
    assert page.inner_text("article h3") == first
    page.keyboard.press("/")
    page.keyboard.type("jk/")
    assert page.input_value("#search") == "jk/"
    assert gallery.count.startswith("None")


def test_a_screen_reader_finds_its_way(gallery: Opened) -> None:
    page = gallery.page
    for role, name in (
        ("search", "Filter episodes"),
        ("navigation", "Episodes"),
        ("region", "Chosen episode"),
        ("article", "before · baseline"),
    ):
        assert page.get_by_role(role, name=name, exact=True).count() == 1, role  # type: ignore[arg-type]
    assert page.locator("#count").get_attribute("aria-live") == "polite"
    assert page.locator("img:not([alt])").count() == 0
    unnamed = "[...document.querySelectorAll('input, select')].filter(f => !f.labels.length)"
    assert page.evaluate(f"{unnamed}.length") == 0


# The address.


def test_a_link_leads_to_one_episode(chromium: Browser, data: Data, tmp_path: Path) -> None:
    link = "#model=after&mode=blank_crop&sample=sample-7"
    one = opened(chromium, data, tmp_path, link)
    assert one.episode == ("after · blank_crop", "sample-7")
    assert one.count == f"2 of {EPISODES} episodes, 2 of them right"
    assert one.page.inner_text("#lost") == ""
    one.page.close()


def test_every_episode_has_a_link(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "before")
    page.select_option("#mode", "active")
    page.select_option("#compare", label="after · active")
    page.locator("article").last.get_by_role("link").click()
    page.locator("article h3", has_text="before").wait_for(state="detached")
    assert gallery.episode == ("after · active", "sample-0")
    assert gallery.count.startswith(f"{EPISODES} of")
    gallery.wait_for_address("sample=sample-0", "entry=after%2Factive")


def test_the_address_is_a_link_to_what_is_shown(
    gallery: Opened, chromium: Browser, data: Data, tmp_path: Path
) -> None:
    page = gallery.page
    page.select_option("#outcome", "right")
    page.select_option("#compare", label="before · active")
    page.fill("#search", "42 total")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="after, shuffled_crop").click()
    gallery.wait_for_address(
        *("search=42+total", "outcome=right", "compare=before%2Factive"),
        *("sample=sample-0", "entry=after%2Fshuffled_crop"),
    )
    copy = opened(chromium, data, tmp_path, page.evaluate("location.hash"))
    for one in (gallery, copy):
        assert one.episode == ("after · shuffled_crop", "sample-0")
        assert one.page.locator("article h3").last.inner_text() == "before · active"
    assert copy.count == gallery.count
    assert copy.page.input_value("#search") == "42 total"
    copy.page.close()


def test_back_leads_to_what_was_shown_before(gallery: Opened) -> None:
    page = gallery.page
    first = gallery.episode
    page.select_option("#model", "after")
    gallery.wait_for_address("model=after", "sample=sample-0", "entry=after%2Fbaseline")
    page.locator("#list button:visible").last.click()
    gallery.wait_for_address("model=after", "sample=sample-7", "entry=after%2Foracle")
    page.go_back()
    page.locator("article h3", has_text="after · baseline").wait_for()
    assert page.input_value("#model") == "after"
    page.go_back()
    page.locator("article h3", has_text=first[0]).wait_for()
    assert page.input_value("#model") == ""
    page.go_forward()
    page.locator("article h3", has_text="after · baseline").wait_for()


def test_skipping_to_a_part_of_the_page_changes_nothing_else(gallery: Opened) -> None:
    gallery.page.select_option("#mode", "active")
    shown = gallery.episode
    gallery.page.locator("a.skip").last.focus()
    gallery.page.keyboard.press("Enter")
    gallery.wait_for_address("mode=active", "sample=sample-0", "entry=before%2Factive")
    assert gallery.episode == shown
    assert gallery.page.input_value("#mode") == "active"


@pytest.mark.parametrize(
    "fragment", ["#sample=sample-99", "#sample=sample-0&mode=active&entry=after/oracle"]
)
def test_a_link_to_an_episode_that_is_not_there_says_so(
    fragment: str, chromium: Browser, data: Data, tmp_path: Path
) -> None:
    one = opened(chromium, data, tmp_path, fragment)
    assert one.page.inner_text("#lost") == "The episode that the address names is not here."
    assert one.page.locator("article").count() == 1
    one.page.keyboard.press("j")
    assert one.page.inner_text("#lost") == ""
    one.page.close()


@pytest.mark.parametrize("attack", [*ATTACKS, "%", "%ff%00", "__proto__", "1" * 100_000])
def test_a_hostile_link_does_nothing(
    attack: str, chromium: Browser, data: Data, tmp_path: Path
) -> None:
    keys = "search model mode outcome status compare sample entry __proto__".split()
    for written in (attack, quote(attack)):
        one = opened(chromium, data, tmp_path, "#" + "&".join(f"{key}={written}" for key in keys))
        assert one.page.locator("script").count() == 2
        assert one.page.locator("[onerror], [onload], #episode script").count() == 0
        one.page.click("button[type=reset]")
        one.page.locator("#count", has_text=f"{EPISODES} of {EPISODES} episodes").wait_for()
        assert one.page.title() != "owned"
        assert one.complaints == []
        one.page.close()


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_does_nothing_and_shows_as_text(
    attack: str, chromium: Browser, tmp_path: Path
) -> None:
    samples = [
        replace(make_sample(0), id=attack, question=attack, answers=(attack,), doc_id=attack),
        make_sample(7),
    ]
    data = make_gallery(tmp_path, samples, answer=f"<answer>{attack}</answer>")
    for entry in data["entries"]:
        entry["model"] += attack
    one = opened(chromium, {**data, "study": attack}, tmp_path)
    plain = attack.replace("\u2028", "[U+2028]").replace("\u2029", "[U+2029]")
    for mark in "\u202e\u202c\u2066\u2069\u200f":
        plain = plain.replace(mark, f"[U+{ord(mark):04X}]")
    assert plain in one.page.inner_text("#episode h2")
    assert plain in one.page.inner_text("#episode pre")
    assert plain in one.page.inner_text("article h3")
    assert one.page.title() != "owned"
    assert one.page.locator("script").count() == 2
    assert one.page.locator("[onerror], [onload], #list img, #episode script").count() == 0
    assert one.complaints == []
    one.page.close()
