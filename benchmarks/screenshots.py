"""Screenshots for the README: `screenshots.py GALLERY.html REPORT.html docs/images`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM

SIZE = {"width": 1360, "height": 900}


def gallery(browser: Browser, path: Path, output: Path) -> None:
    """An episode that training turned from wrong to right, before and after."""
    page = browser.new_page(viewport=SIZE)
    page.goto(path.absolute().as_uri())
    page.wait_for_selector("html[data-ready]")
    for field, value in (("mode", "active"), ("outcome", "wrong")):
        page.select_option(f"#{field}", value)
    first, last = (page.locator("#model option").nth(i).get_attribute("value") for i in (1, -1))
    page.select_option("#model", first)
    page.select_option("#compare", label=f"{last} · active")
    for _ in range(page.locator("#list li:not([hidden])").count()):
        if "right" in page.locator("article").last.inner_text():
            break
        page.keyboard.press("j")
    page.screenshot(path=output)


def report(browser: Browser, path: Path, output: Path) -> None:
    """The map of zooms, opened from the list of results."""
    page = browser.new_page(viewport=SIZE)
    page.goto(path.absolute().as_uri())
    page.get_by_text("Results", exact=True).last.click()
    page.locator("tr", has_text="where zooms land").locator("a").first.click()
    page.wait_for_timeout(1500)  # it fades in
    page.screenshot(path=output)


def main() -> None:
    gallery_page, report_page, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        gallery(browser, gallery_page, folder / "gallery.png")
        report(browser, report_page, folder / "report.png")
        browser.close()
    for path in (folder / "gallery.png", folder / "report.png"):
        with Image.open(path) as image:
            image.convert("RGB").quantize(kmeans=3).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
