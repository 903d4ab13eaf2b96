"""RapidOCR reads what is large enough, says where it stands, and needs no network for it."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from active_perception_r1.cli import main
from active_perception_r1.data.legibility import legible_in_crop, legible_in_view
from active_perception_r1.data.reader import RapidOcr
from active_perception_r1.data.readings import Readings
from active_perception_r1.data.samples import write_samples
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample
from active_perception_r1.scoring.legibility import read_legibility

SIDE = 1200
PLACES = {40: (700, 300), 11: (200, 800)}
"""Where texts of these heights, in pixels, stand on the page."""
TEXTS = {40: "Invoice 48.15", 11: "Total due 73.26"}
FIRST_VIEW = 400 * 400


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    socket.socket.connect = refuse  # type: ignore[assignment, method-assign]


@pytest.fixture(scope="session")
def reader() -> RapidOcr:
    return RapidOcr()


def page() -> Image.Image:
    drawn = Image.new("RGB", (SIDE, SIDE), "white")
    for height, text in TEXTS.items():
        font = ImageFont.load_default(height)
        ImageDraw.Draw(drawn).text(PLACES[height], text, fill="black", font=font)
    return drawn


def sample(height: int) -> Sample:
    buffer = io.BytesIO()
    page().save(buffer, "PNG")
    font = ImageFont.load_default(height)
    x, y = PLACES[height]
    x0, y0, x1, y1 = font.getbbox(TEXTS[height])
    box = Box((x + x0) / SIDE, (y + y0) / SIDE, (x + x1) / SIDE, (y + y1) / SIDE)
    return Sample(
        id=f"height {height}",
        doc_id="page",
        image=buffer.getvalue(),
        width=SIDE,
        height=SIDE,
        question="What does it say?",
        answers=(TEXTS[height],),
        evidence=(Evidence("answer", box),),
        requires_zoom=height < 20,
    )


def test_words_are_read_where_they_stand(reader: RapidOcr) -> None:
    words = reader.read(page())
    assert " ".join(word.text for word in words) == f"{TEXTS[40]} {TEXTS[11]}"
    for height in TEXTS:
        (place,) = (region.box for region in sample(height).evidence)
        last = next(word for word in words if word.text == TEXTS[height].split()[-1])
        x, y = last.box.centre
        assert place.x0 < x < place.x1
        assert place.y0 < y < place.y1


def test_its_revision_names_its_version(reader: RapidOcr) -> None:
    assert reader.revision.startswith("rapidocr 3.")
    assert "onnxruntime 1." in reader.revision


def test_an_empty_image_has_no_words(reader: RapidOcr) -> None:
    assert list(reader.read(Image.new("RGB", (300, 200), "white"))) == []


def test_small_print_is_legible_in_its_crop_only(reader: RapidOcr, tmp_path: Path) -> None:
    with Readings(tmp_path / "kept", reader) as readings:
        assert legible_in_view(readings, sample(40), FIRST_VIEW)
        assert not legible_in_view(readings, sample(11), FIRST_VIEW)
        assert legible_in_crop(readings, sample(11), FIRST_VIEW)
        assert legible_in_view(readings, sample(11), SIDE * SIDE)


def test_the_command_measures_a_slice(tmp_path: Path) -> None:
    write_samples(tmp_path / "slice.parquet", map(sample, TEXTS))
    output = tmp_path / "legibility.json"
    budgets = ["--budgets", str(FIRST_VIEW), str(SIDE * SIDE)]
    given = ["--slice", str(tmp_path / "slice.parquet"), *budgets, "--output", str(output)]
    assert main(["legibility", *given]) == 0
    assert [row.legible for row in read_legibility(output)][:3] == [0.5, 1.0, 1.0]
    assert output.with_suffix(".svg").exists()
