"""How long a browser takes to open a gallery, and its memory: `gallery.py [GALLERY]`.

Without a folder, one of 10,000 episodes is made: two models in five modes on 1,000 questions.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.gallery_pages import make_gallery
from tests.scripted import make_sample

RUNS = 5
QUESTIONS = 1_000


def main() -> None:
    with folder() as gallery, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        before = megabytes()
        seconds = []
        for _ in range(RUNS):
            page = browser.new_page()
            page.goto((gallery / "index.html").absolute().as_uri())
            page.wait_for_selector("html[data-ready]")
            # From the start of navigation until the first frame with the list in it.
            seconds.append(
                page.evaluate(
                    "new Promise(done => requestAnimationFrame(() => setTimeout(() =>"
                    " done(performance.now() / 1000))))"
                )
            )
            count = page.inner_text("#count")
            page.focus("#list")
            for _ in range(50):  # through as many chunks as are kept, and more
                page.keyboard.press("PageDown")
                page.locator("article").first.wait_for()
            used = megabytes() - before
            page.close()
        browser.close()
        size = sum(path.stat().st_size for path in gallery.rglob("*") if path.is_file())
    print(f"{count}; {size / 1e6:.1f} MB on disk; opened in")
    print(f"{median(seconds):.2f} s (median of {RUNS}, {min(seconds):.2f} to {max(seconds):.2f});")
    print(f"{used:.0f} MB of memory for the page after going through 50 screens")


@contextmanager
def folder() -> Iterator[Path]:
    if len(sys.argv) > 1:
        yield Path(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        samples = [make_sample(number) for number in range(QUESTIONS)]
        gallery = make_gallery(Path(name), samples, limit=10 * QUESTIONS)
        print(f"made in {time.perf_counter() - began:.1f} s, with the episodes")
        yield gallery


def megabytes() -> float:
    """Proportional set size of the browser's processes."""
    processes = psutil.Process(os.getpid()).children(recursive=True)
    return sum(p.memory_full_info().pss for p in processes if "chrom" in p.name()) / 1e6


if __name__ == "__main__":
    main()
