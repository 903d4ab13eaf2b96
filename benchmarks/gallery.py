"""Size of a gallery, and how long a browser takes to open it: `gallery.py GALLERY.html`."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM

RUNS = 5


def main() -> None:
    path = Path(sys.argv[1])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        seconds = []
        for _ in range(RUNS):
            page = browser.new_page()
            page.goto(path.absolute().as_uri())
            page.wait_for_selector("html[data-ready]")
            # From the start of navigation until the first frame with the list in it.
            seconds.append(
                page.evaluate(
                    "new Promise(done => requestAnimationFrame(() => setTimeout(() =>"
                    " done(performance.now() / 1000))))"
                )
            )
            episodes = page.locator("#list li").count()
            page.close()
        browser.close()
    print(f"{episodes} episodes, {path.stat().st_size / 1e6:.1f} MB, opened in")
    print(f"{median(seconds):.2f} s (median of {RUNS}, {min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
