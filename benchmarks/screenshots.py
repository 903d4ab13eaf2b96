"""Screenshots for the README, of pinned results: `screenshots.py PINNED SLICE.parquet docs/images`.

Gallery and page are made from what is pinned, and from the pages that the slice has.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from active_perception_r1.config import load_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.figures import drawn_of
from active_perception_r1.report.gallery.evaluation import gallery_of
from active_perception_r1.report.gallery.folder import write_gallery
from active_perception_r1.report.page.page import write_page
from active_perception_r1.scoring.diagnosis_row import read_diagnosis
from active_perception_r1.scoring.leaderboard_row import read_leaderboard
from tests.browser.conftest import ARGUMENTS, CHROMIUM

SIZE = {"width": 1400, "height": 900}
ALL_IMAGES_DECODE = "Promise.all([...document.images].map(image => image.decode()))"


def make_report(pinned: Path, slice_file: Path, report: Path) -> None:
    """Page and gallery of pinned results in the folder `report`."""
    config = load_config(pinned / "config.yaml")
    plan = StudyPlan(config, config.study)
    entries = []
    for model, mode in plan.entries:
        packed = pinned / "predictions" / model / f"{mode}.jsonl.gz"
        predictions = report / f"{model}.{mode}.jsonl"
        predictions.write_bytes(gzip.decompress(packed.read_bytes()))
        entries.append(Entry(model, mode, plan.model(model), predictions))
    answers = Answers(plan.name, slice_file, entries, plan.study.reward, plan.study.task)
    write_gallery(gallery_of(answers, plan.started_from), report / "gallery")
    write_page(
        plan,
        read_leaderboard(pinned / "leaderboard.json"),
        read_diagnosis(pinned / "diagnosis.json"),
        drawn_of(plan, sorted((pinned / "report").glob("*.svg"))),
        report / "index.html",
    )


def gallery(browser: Browser, report: Path, output: Path) -> None:
    """An episode that training turned from wrong to right, before and after."""
    page = browser.new_page(viewport=SIZE)
    page.goto((report / "gallery" / "index.html").as_uri() + "#mode=active&trained=gained")
    page.wait_for_selector("html[data-ready]")
    first = page.locator("#model option").nth(1).get_attribute("value")
    page.select_option("#compare", f"{first}/active")
    page.locator("article").nth(1).wait_for()
    page.evaluate(ALL_IMAGES_DECODE)
    page.screenshot(path=output)


def study_page(browser: Browser, report: Path, output: Path) -> None:
    """What was found, and the leaderboard."""
    page = browser.new_page(viewport=SIZE)
    page.goto((report / "index.html").as_uri())
    page.screenshot(path=output)


def main() -> None:
    pinned, slice_file, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        make_report(pinned, slice_file, Path(name))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        gallery(browser, Path(name), folder / "gallery.png")
        study_page(browser, Path(name), folder / "page.png")
        browser.close()
    for path in (folder / "gallery.png", folder / "page.png"):
        with Image.open(path) as image:
            image.convert("RGB").quantize(kmeans=3).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
