"""The page of a study in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser

from active_perception_r1.config import parse_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.report.exports import EXPORTS
from active_perception_r1.report.figures import accuracy, drawn_of
from active_perception_r1.report.page.page import write_page
from tests.browser.accessibility import violations
from tests.finished_report import finished_report
from tests.gallery_pages import make_gallery
from tests.leaderboard_rows import a_compared_row as a_row
from tests.test_page import ACTIVE, ATTACK, BASELINE, BLANK, ORACLE, diagnosis
from tests.workflow import REPOSITORY


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    plan = StudyPlan(
        parse_config(yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text())), "demo"
    )
    rows = [BASELINE, ACTIVE, BLANK, ORACLE]
    rows += [
        a_row("a-model-with-a-very-long-name-indeed" * 3, mode) for mode in ("baseline", "active")
    ]
    rows += [a_row(ATTACK, "active")]
    accuracy.draw(rows, folder / "accuracy.svg")
    drawn = drawn_of(plan, [folder / "accuracy.svg"])
    write_page(plan, rows, [diagnosis()], drawn, folder / "index.html")
    return folder / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_it_fits_the_window_and_breaks_no_rule_of_accessibility(
    width: int, scheme: str, chromium: Browser, page_file: Path
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(page_file.as_uri())
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    assert complaints == []
    page.close()


def test_figures_show(chromium: Browser, page_file: Path) -> None:
    page = chromium.new_page()
    page.goto(page_file.as_uri())
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    assert page.evaluate("document.images[0].naturalWidth") > 100
    page.close()


def test_a_number_leads_to_its_episodes(chromium: Browser, page_file: Path) -> None:
    models = {"after": "m"}
    make_gallery(page_file.parent, models=models)
    page = chromium.new_page()
    page.goto(page_file.as_uri())
    page.get_by_role("link", name="+7/-0").click()
    page.wait_for_selector("html[data-ready]")
    assert page.inner_text("#count") == "2 of 20 episodes, 2 of them right"
    assert page.input_value("#change") == "gained"
    page.close()


def test_an_exported_site_opens_from_a_disk(chromium: Browser, tmp_path: Path) -> None:
    site = tmp_path / "site"
    list(EXPORTS["space"].write(finished_report(tmp_path / "results"), site))
    page = chromium.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="+7/-0").click()
    page.wait_for_selector("html[data-ready]")
    assert page.inner_text("#count") == "2 of 20 episodes, 2 of them right"
    own = (site.as_uri(), "data:", "blob:")
    assert [url for url in requests if not url.startswith(own)] == []
    page.close()


def test_the_keyboard_reaches_everything(chromium: Browser, page_file: Path) -> None:
    page = chromium.new_page()
    page.goto(page_file.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to what was found"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.table, .table *')")
    assert page.get_by_role("region", name="What was found").count() == 1
    page.close()
