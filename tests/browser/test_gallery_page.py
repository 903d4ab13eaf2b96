"""The gallery in a real browser: filters, comparison, keyboard, and text that stays text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.accessibility import violations
from tests.gallery_pages import MODES, make_gallery, make_training_gallery
from tests.scripted import make_sample

EPISODES = 4 * len(MODES)
SCRIPTS = 8  # those of the page; data that were read leave none
ATTACKS = [
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "\"); document.title='owned'; (\"",
    "{{ 7 * 7 }}",
    "=HYPERLINK(A1)",
    "\u202eevil\u202c \u2066isolated\u2069 \u200fmark",
    "line\u2028separators\u2029",
]


ALL_IMAGES_DECODE = """Promise.all([...document.images].map(image => {
    image.loading = "eager";
    return image.decode();
}))"""


class Opened:
    """A page with everything that it complained about or asked for."""

    def __init__(self, page: Page, gallery: Path, fragment: str = "") -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto((gallery / "index.html").as_uri() + fragment)
        page.wait_for_selector("html[data-ready]")
        page.wait_for_selector("#episode > :first-child")

    @property
    def count(self) -> str:
        return self.page.inner_text("#count")

    @property
    def episode(self) -> tuple[str, str]:
        """Model and mode of what is shown, and its sample."""
        return self.page.inner_text("article h3 >> nth=0"), self.page.inner_text("#sample")

    def wait_for_address(self, *parts: str) -> None:
        """Until the address has exactly these parts."""
        self.page.wait_for_url(lambda url: set(urlsplit(url).fragment.split("&")) == set(parts))

    def wait_for_episode(self, name: str) -> None:
        self.page.locator("article h3", has_text=name).first.wait_for()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture
def gallery(chromium: Browser, folder: Path) -> Iterator[Opened]:
    one = Opened(chromium.new_page(viewport={"width": 1400, "height": 900}), folder)
    yield one
    assert one.complaints == []
    assert [url for url in one.requests if not url.startswith(("file:", "blob:"))] == []
    one.page.close()


def test_it_opens_with_the_first_episode(gallery: Opened) -> None:
    assert gallery.count.startswith(f"{EPISODES} of {EPISODES} episodes")
    assert gallery.page.inner_text("#episode h2") == "What is the total?"
    assert gallery.page.locator('#list [aria-selected="true"]').count() == 1
    assert gallery.page.title() == "Traces of study study"


def test_filters_leave_what_matches(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "before")
    page.select_option("#mode", "active")
    assert gallery.count == f"2 of {EPISODES} episodes, 0 of them right"
    page.select_option("#outcome", "right")
    assert gallery.count == f"None of {EPISODES} episodes"
    page.locator("#episode", has_text="No episode matches").wait_for()
    page.click("button[type=reset]")
    page.locator("#count", has_text=f"{EPISODES} of").wait_for()
    page.fill("#search", "sample-7 42")
    page.locator("#count", has_text=f"{EPISODES // 2} of").wait_for()
    page.fill("#search", "zoom_roi")  # only replies have it
    page.locator("#count", has_text="12 of").wait_for()


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"change": "gained"}, 10),
        ({"trained": "gained"}, 6),
        ({"zoom": "hit"}, 2),
        ({"headroom": "missed"}, 2),
        ({"coverage_from": "0.5"}, 6),
        ({"coverage_to": "0.5", "mode": "active"}, 2),
        ({"reward_from": "1"}, 6),
        ({"tokens_from": "10", "tokens_to": "20", "model": "after"}, 10),
    ],
)
def test_episodes_are_found_by_what_became_of_them(
    fields: dict[str, str], count: int, chromium: Browser, folder: Path
) -> None:
    fragment = "#" + "&".join(f"{name}={value}" for name, value in fields.items())
    one = Opened(chromium.new_page(), folder, fragment)
    assert one.count.startswith(f"{count} of {EPISODES}")
    one.page.close()


def test_they_are_sorted_and_what_has_no_value_comes_last(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#sort", "-reward")
    page.click("#list [aria-posinset='1']")
    gallery.wait_for_episode("after · active")
    page.select_option("#sort", "reward")
    page.click("#list [aria-posinset='1']")
    gallery.wait_for_episode("before · active")
    page.focus("#list")
    page.evaluate("document.getElementById('list').scrollTop = 1e6")
    page.click(f"#list [aria-posinset='{EPISODES}']")
    gallery.wait_for_episode("after · oracle")  # without a tool there is no reward


def test_before_and_after_stand_side_by_side(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "before")
    page.select_option("#mode", "active")
    page.select_option("#compare", label="after · active")
    page.locator("article").nth(1).wait_for()
    titles = page.locator("article h3").all_inner_texts()
    assert titles == ["before · active", "after · active"]
    left, right = page.locator("article").all()
    assert "Answer: 7" in left.inner_text()
    assert "Answer: 42" in right.inner_text()
    assert right.locator("svg rect.zoom").count() == right.locator("svg rect.evidence").count() == 1
    assert left.bounding_box()["y"] == right.bounding_box()["y"]  # type: ignore[index]


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
        page.locator(".seen", has_text=caption).wait_for()
        page.evaluate(ALL_IMAGES_DECODE)


def test_a_crop_is_enlarged_by_a_click_or_a_key(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "after")
    page.select_option("#mode", "active")
    gallery.wait_for_episode("after · active")
    page.click(".picture >> nth=1")
    enlarged = page.locator("dialog img")
    small = page.locator(".picture img >> nth=1")
    across = enlarged.bounding_box()["width"] / small.bounding_box()["width"]  # type: ignore[index]
    assert across == int(across) > 2
    assert "Crop 1 as the model saw it" in page.inner_text("#caption")
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.keyboard.press("z")
    assert page.locator("dialog").is_visible()
    page.get_by_role("button", name="Close").click()


def test_every_answer_to_a_question_is_one_click_away(gallery: Opened) -> None:
    gallery.page.select_option("#mode", "baseline")
    gallery.page.click('button[aria-label="after, active: right"]')
    gallery.wait_for_episode("after · active")
    assert gallery.count.startswith(f"{EPISODES} of")


def test_a_selection_is_saved_as_a_table(gallery: Opened) -> None:
    gallery.page.select_option("#model", "after")
    gallery.page.select_option("#mode", "active")
    with gallery.page.expect_download() as download:
        gallery.page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert [row["sample"] for row in rows] == ["sample-0", "sample-7"]
    assert {row["answer"] for row in rows} == {"42"}
    assert {row["change"] for row in rows} == {"gained"}


def test_the_keyboard_is_enough(gallery: Opened) -> None:
    page = gallery.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the episodes"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.matches('#list:focus-visible')")
    first = page.inner_text("article h3")
    page.keyboard.press("ArrowDown")
    gallery.wait_for_episode("before · active")
    active = page.get_attribute("#list", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-selected") == "true"
    page.keyboard.press("k")
    gallery.wait_for_episode(first)
    page.keyboard.press("/")
    page.keyboard.type("jk/")
    assert page.input_value("#search") == "jk/"
    page.locator("#count", has_text="None").wait_for()


def test_a_screen_reader_finds_its_way(gallery: Opened) -> None:
    page = gallery.page
    for role, name in (
        ("search", "Filter episodes"),
        ("navigation", "Episodes"),
        ("listbox", "Episodes"),
        ("region", "Chosen episode"),
        ("article", "before · baseline"),
    ):
        assert page.get_by_role(role, name=name, exact=True).count() == 1, role  # type: ignore[arg-type]
    assert page.locator("#count").get_attribute("aria-live") == "polite"
    assert page.locator("#list [aria-setsize]").first.get_attribute("aria-setsize") == str(EPISODES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_it_fits_the_window_and_breaks_no_rule_of_accessibility(
    width: int, scheme: str, chromium: Browser, folder: Path
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    one = Opened(page, folder, "#model=after&mode=active&compare=before/active&coverage_from=0")
    one.wait_for_episode("before · active")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    page.click(".picture >> nth=0")
    assert violations(page) == []
    page.close()


def test_only_what_is_looked_at_is_read(chromium: Browser, tmp_path: Path) -> None:
    samples = [make_sample(number) for number in range(90)]
    one = Opened(chromium.new_page(), make_gallery(tmp_path, samples))
    read = [urlsplit(url).path.rpartition("/data/")[2] for url in one.requests if "/data/" in url]
    assert read == ["index.js", "questions-0.js"]
    assert one.page.locator("#list [role=option]").count() < 40
    one.page.focus("#list")
    one.page.evaluate("document.getElementById('list').scrollTop = 1e6")
    one.page.locator("[aria-posinset='900']").click()
    one.page.locator("#sample", has_text="sample-89").wait_for()
    one.page.close()


def test_episodes_of_training_stand_by_step_and_beside_the_best(
    chromium: Browser, tmp_path: Path
) -> None:
    gallery = make_training_gallery(tmp_path)
    one = Opened(chromium.new_page(), gallery, "#sample=sample-7&step=2&entry=m%2Bgrpo/first")
    assert one.episode == ("m+grpo · first", "sample-7")
    assert "training step 2" in one.page.inner_text("#episode")
    one.page.select_option("#compare", label="m+grpo · best")
    one.wait_for_episode("m+grpo · best")
    one.page.select_option("#sort", "-reward")
    one.page.click("summary")
    one.page.fill("#step_from", "3")
    assert one.count.startswith("6 of 18 episodes")
    assert one.complaints == []
    one.page.close()


# The address.


def test_a_link_leads_to_one_episode(chromium: Browser, folder: Path) -> None:
    link = "#model=after&mode=blank_crop&sample=sample-7"
    one = Opened(chromium.new_page(), folder, link)
    assert one.episode == ("after · blank_crop", "sample-7")
    assert one.count == f"2 of {EPISODES} episodes, 2 of them right"
    assert one.page.inner_text("#lost") == ""
    one.page.close()


def test_every_episode_has_a_link(gallery: Opened) -> None:
    page = gallery.page
    page.select_option("#model", "before")
    page.select_option("#mode", "active")
    page.select_option("#compare", label="after · active")
    page.locator("article").nth(1).get_by_role("link").click()
    page.locator("article h3", has_text="before").wait_for(state="detached")
    assert gallery.episode == ("after · active", "sample-0")
    assert gallery.count.startswith(f"{EPISODES} of")
    gallery.wait_for_address("sample=sample-0", "entry=after%2Factive")


def test_the_address_is_a_link_to_what_is_shown(
    gallery: Opened, chromium: Browser, folder: Path
) -> None:
    page = gallery.page
    page.select_option("#outcome", "right")
    page.select_option("#compare", label="before · active")
    page.select_option("#sort", "-tokens")
    page.click("summary")
    page.fill("#reward_from", "0.2")
    page.fill("#search", "42 total")
    page.get_by_role("button", name="after, shuffled_crop").click()
    gallery.wait_for_address(
        *("search=42+total", "outcome=right", "compare=before%2Factive", "sort=-tokens"),
        *("reward_from=0.2", "sample=sample-0", "entry=after%2Fshuffled_crop"),
    )
    copy = Opened(chromium.new_page(), folder, page.evaluate("location.hash"))
    for one in (gallery, copy):
        assert one.episode == ("after · shuffled_crop", "sample-0")
        assert one.page.locator("article h3").last.inner_text() == "before · active"
    assert copy.count == gallery.count
    assert copy.page.input_value("#search") == "42 total"
    assert copy.page.input_value("#reward_from") == "0.2"
    copy.page.close()


def test_back_leads_to_what_was_shown_before(gallery: Opened) -> None:
    page = gallery.page
    first = gallery.episode
    page.select_option("#model", "after")
    gallery.wait_for_address("model=after", "sample=sample-0", "entry=after%2Fbaseline")
    page.locator("#list [aria-posinset='10']").click()
    gallery.wait_for_address("model=after", "sample=sample-7", "entry=after%2Foracle")
    page.go_back()
    gallery.wait_for_episode("after · baseline")
    assert page.input_value("#model") == "after"
    page.go_back()
    gallery.wait_for_episode(first[0])
    assert page.input_value("#model") == ""
    page.go_forward()
    gallery.wait_for_episode("after · baseline")


def test_skipping_to_a_part_of_the_page_changes_nothing_else(gallery: Opened) -> None:
    gallery.page.select_option("#mode", "active")
    gallery.wait_for_episode("before · active")
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
    fragment: str, chromium: Browser, folder: Path
) -> None:
    one = Opened(chromium.new_page(), folder, fragment)
    assert one.page.inner_text("#lost") == "The episode that the address names is not here."
    assert one.page.locator("article").count() == 1
    one.page.keyboard.press("j")
    assert one.page.inner_text("#lost") == ""
    one.page.close()


@pytest.mark.parametrize("attack", [*ATTACKS, "%", "%ff%00", "__proto__", "1" * 100_000])
def test_a_hostile_link_does_nothing(attack: str, chromium: Browser, folder: Path) -> None:
    keys = "search model mode outcome status compare sort coverage_from step sample entry __proto__"
    for written in (attack, quote(attack)):
        fragment = "#" + "&".join(f"{key}={written}" for key in keys.split())
        one = Opened(chromium.new_page(), folder, fragment)
        assert one.page.locator("script").count() == SCRIPTS
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
    models = {name: name + attack for name in ("before", "after")}
    gallery = make_gallery(tmp_path, samples, f"<answer>{attack}</answer>", models, attack)
    one = Opened(chromium.new_page(), gallery, f"#mode=oracle&sample={quote(attack)}")
    plain = attack.replace("\u2028", "[U+2028]").replace("\u2029", "[U+2029]")
    for mark in "\u202e\u202c\u2066\u2069\u200f":
        plain = plain.replace(mark, f"[U+{ord(mark):04X}]")
    assert plain in one.page.inner_text("#episode h2")
    assert plain in one.page.inner_text("#episode pre")
    assert plain in one.page.inner_text("article h3")
    assert one.page.title() == f"Traces of study {plain}"
    assert one.page.locator("script").count() == SCRIPTS
    assert one.page.locator("[onerror], [onload], #list img, #episode script").count() == 0
    one.page.fill("#search", attack)
    with one.page.expect_download() as download:
        one.page.click("#csv")
    for row in csv.reader(io.StringIO(download.value.path().read_text(encoding="utf-8"))):
        for cell in row:  # a number may be negative
            assert not cell.startswith(tuple("=+-@")) or re.fullmatch(r"-[0-9.]+", cell)
    assert one.complaints == []
    one.page.close()
