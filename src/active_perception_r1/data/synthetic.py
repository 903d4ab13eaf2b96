"""Synthetic document pages whose answers can be read only by zooming.

A page is 672 x 672 pixels. Labels are large coloured letter tiles, legible when the page is shrunk
to 112 x 112; every value is a two-digit number about 15 px tall, which no longer exists as shape at
that size (about 2.5 px) but is easy to read in a crop. Three layouts:

- `form`: cards on a grid, each with a letter tile and a value;
- `table`: row and column headings as tiles, values in the cells;
- `chart`: bars with a tile below and a value on top, and an inset panel with entries of its own.

Nothing but the digits tells a value: the value is drawn last, independently of letters, colours,
places and of the height of its bar. A page is a function of the random state alone, and rendering
takes well under a millisecond because all glyphs are drawn once.
"""

from __future__ import annotations

import colorsys
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from active_perception_r1.geometry import Box

LAYOUTS: tuple[str, ...] = ("form", "table", "chart")
KEYS = "ABCDEFGH"
"""Letters of form fields, table rows, bars and inset entries."""
COLUMN_KEYS = "PQRSTU"
"""Letters of table columns."""
PAGE_SIDE = 672
"""Side of a page in pixels."""

_TILE = 72
_FONT_PX = 20
_GAP = 6
_INK = (25, 28, 38)
_PAPERS = ((246, 244, 238), (240, 244, 248), (243, 246, 240), (247, 242, 243))
_LINE = (205, 208, 214)
_WHITE = (255, 255, 255)

Colour: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Word:
    """A word on the page and its box (page coordinates, 0-1)."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """A question about one value of a page.

    Attributes:
        text: the question, without any instruction about zooming.
        answer: the value.
        word_index: index of the answer in `RenderedPage.words`; that word's box is the evidence.
        labels: the tiles that name the value, as (phrase, index in `words`), e.g. `(" row B", 5)`.
    """

    text: str
    answer: str
    word_index: int
    labels: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page image with its words in reading order and all questions that it answers."""

    image: Image.Image
    layout: str
    words: tuple[Word, ...]
    questions: tuple[PageQuestion, ...]


def render_page(rng: random.Random, layout: str, fullness: float = 1.0) -> RenderedPage:
    """Draws one page.

    Args:
        rng: the only source of randomness.
        layout: one of `LAYOUTS`.
        fullness: share of a full page's entries, in (0, 1]; less than 1 makes an easier page, for
            the first part of a training curriculum.
    """
    canvas = _Canvas(rng)
    _PAINTERS[layout](canvas, rng, fullness)
    return canvas.page(layout)


def value_phrase(question: str) -> str:
    """What a question asks about, e.g. `" row B, column Q"`, with its leading space."""
    return question.removeprefix("What is the value of").removesuffix("?")


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """Everything that is drawn with a font: letter tiles, and digits on white."""

    tiles: dict[str, Image.Image]
    colours: dict[str, Colour]
    digits: dict[str, Image.Image]
    digit_width: int
    digit_height: int


@lru_cache(maxsize=1)
def _glyphs() -> _Glyphs:
    colours = {key: _hue(i / len(KEYS), 0.9, 0.55 if i % 2 else 0.92) for i, key in enumerate(KEYS)}
    tiles = {key: _tile(key, _WHITE, colours[key]) for key in KEYS}
    for i, key in enumerate(COLUMN_KEYS):  # pale tiles with dark letters: not to be taken for rows
        colours[key] = _hue((i + 0.5) / len(COLUMN_KEYS), 0.42, 1.0)
        tiles[key] = _tile(key, _INK, colours[key])
    font = ImageFont.load_default(_FONT_PX)
    width, height = int(_FONT_PX * 0.66), _FONT_PX - 2
    digits = {}
    for digit in "0123456789":
        digits[digit] = Image.new("RGB", (width, height), _WHITE)
        draw, at = ImageDraw.Draw(digits[digit]), (width / 2, height / 2)
        draw.text(at, digit, font=font, fill=_INK, anchor="mm", stroke_width=0.5, stroke_fill=_INK)
    return _Glyphs(tiles, colours, digits, width, height)


def _hue(hue: float, saturation: float, brightness: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, brightness)
    return round(255 * r), round(255 * g), round(255 * b)


def _tile(letter: str, ink: Colour, fill: Colour) -> Image.Image:
    image = Image.new("RGB", (_TILE, _TILE), fill)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_TILE * 0.8)
    at = (_TILE / 2, _TILE / 2)
    draw.text(at, letter, font=font, fill=ink, anchor="mm", stroke_width=1, stroke_fill=ink)
    return image


def _value_size() -> tuple[int, int]:
    """Width and height of a value in pixels."""
    glyphs = _glyphs()
    return 2 * glyphs.digit_width, glyphs.digit_height


@dataclass(slots=True)
class _Entry:
    """A value on the page with the phrase that asks for it and the words that label it."""

    phrase: str
    value: int
    labels: list[tuple[str, int]] = field(default_factory=list)


class _Canvas:
    """Image, words and questions of a page in the making; all places in pixels."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._image = Image.new("RGB", (PAGE_SIDE, PAGE_SIDE), rng.choice(_PAPERS))
        self._draw = ImageDraw.Draw(self._image)
        self._words: list[Word] = []
        self.entries: list[_Entry] = []

    def fill(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)

    def panel(self, x: int, y: int, width: int, height: int, colour: Colour = _WHITE) -> None:
        """A filled rectangle with a thin frame."""
        self.fill(x, y, width, height, _LINE)
        self.fill(x + 2, y + 2, width - 4, height - 4, colour)

    def tile(self, letter: str, x: int, y: int) -> int:
        """Draws a letter tile with its corner at (x, y) and returns the index of its word."""
        self._image.paste(_glyphs().tiles[letter], (x, y))
        return self._word(letter, x, y, _TILE, _TILE)

    def value(self, phrase: str, x: int, y: int) -> _Entry:
        """Draws a random value on a white ground, its corner at (x, y), as an answer."""
        glyphs = _glyphs()
        text = str(self._rng.randint(10, 99))
        for i, digit in enumerate(text):
            self._image.paste(glyphs.digits[digit], (x + i * glyphs.digit_width, y))
        entry = _Entry(phrase, self._word(text, x, y, *_value_size()))
        self.entries.append(entry)
        return entry

    def page(self, layout: str) -> RenderedPage:
        questions = tuple(
            PageQuestion(
                text=f"What is the value of{entry.phrase}?",
                answer=self._words[entry.value].text,
                word_index=entry.value,
                labels=tuple(entry.labels),
            )
            for entry in self.entries
        )
        return RenderedPage(self._image, layout, tuple(self._words), questions)

    def _word(self, text: str, x: int, y: int, width: int, height: int) -> int:
        box = Box(x / PAGE_SIDE, y / PAGE_SIDE, (x + width) / PAGE_SIDE, (y + height) / PAGE_SIDE)
        self._words.append(Word(text, box))
        return len(self._words) - 1


def _field(canvas: _Canvas, letter: str, phrase: str, x: int, y: int) -> None:
    """A letter tile with a value to its right."""
    label = canvas.tile(letter, x, y)
    _, height = _value_size()
    entry = canvas.value(phrase, x + _TILE + _GAP, y + (_TILE - height) // 2)
    entry.labels.append((phrase, label))


def _paint_form(canvas: _Canvas, rng: random.Random, fullness: float) -> None:
    """Up to six of sixteen places hold a card; places are far enough apart to be shown alone."""
    count = max(1, round(6 * fullness))
    width, height = _TILE + _GAP + _value_size()[0], _TILE
    pitch, margin, jitter = PAGE_SIDE // 4, 7, 20
    letters = rng.sample(KEYS, count)
    for letter, place in zip(letters, sorted(rng.sample(range(16), count)), strict=True):
        x = place % 4 * pitch + (pitch - width) // 2 + rng.randint(-jitter, jitter)
        y = place // 4 * pitch + (pitch - height) // 2 + rng.randint(-jitter, jitter)
        canvas.panel(x - margin, y - margin, width + 2 * margin, height + 2 * margin)
        _field(canvas, letter, f" {letter}", x, y)


def _paint_table(canvas: _Canvas, rng: random.Random, fullness: float) -> None:
    """Three or four rows and columns, at least a fifth of the page apart."""
    most = max(1, round(4 * fullness))
    rows, columns = (rng.randint(max(1, most - 1), most) for _ in range(2))
    heading = _TILE + 24
    pitch_x, pitch_y = (min(176, rng.randint(134, (654 - heading) // n)) for n in (columns, rows))
    left = rng.randint(8, PAGE_SIDE - 8 - heading - columns * pitch_x)
    top = rng.randint(8, PAGE_SIDE - 8 - heading - rows * pitch_y)
    width, height = heading + columns * pitch_x, heading + rows * pitch_y
    canvas.panel(left, top, width, height)
    column_x = [left + heading + i * pitch_x for i in range(columns)]
    row_y = [top + heading + i * pitch_y for i in range(rows)]
    for x in column_x:
        canvas.fill(x, top, 2, height, _LINE)
    for y in row_y:
        canvas.fill(left, y, width, 2, _LINE)
    row_letters, column_letters = rng.sample(KEYS, rows), rng.sample(COLUMN_KEYS, columns)
    column_words = [
        canvas.tile(letter, x + (pitch_x - _TILE) // 2, top + 12)
        for letter, x in zip(column_letters, column_x, strict=True)
    ]
    value_width, value_height = _value_size()
    for row, y in zip(row_letters, row_y, strict=True):
        row_word = canvas.tile(row, left + 12, y + (pitch_y - _TILE) // 2)
        for column, x, column_word in zip(column_letters, column_x, column_words, strict=True):
            value_x, value_y = x + (pitch_x - value_width) // 2, y + (pitch_y - value_height) // 2
            entry = canvas.value(f" row {row}, column {column}", value_x, value_y)
            entry.labels += [(f" row {row}", row_word), (f" column {column}", column_word)]


def _paint_chart(canvas: _Canvas, rng: random.Random, fullness: float) -> None:
    """Three or four bars below an inset panel with one or two entries."""
    most = max(1, round(4 * fullness))
    _paint_inset(canvas, rng, entries=1 if fullness < 1 else rng.randint(1, 2))
    count = rng.randint(max(1, most - 1), most)
    pitch = rng.randint(140, min(176, 640 // count))
    left = rng.randint(16, PAGE_SIDE - 16 - count * pitch)
    base = rng.randint(560, 580)
    for y in range(base - 340, base, 85):
        canvas.fill(left, y, count * pitch, 2, _LINE)
    letters = rng.sample(KEYS, count)
    bar_width, (value_width, value_height) = 56, _value_size()
    entries = []
    for i, letter in enumerate(letters):
        centre = left + i * pitch + pitch // 2
        bar = rng.randint(40, 330)  # drawn before, and independent of, the value above it
        red, green, blue = _glyphs().colours[letter]
        pale = ((red + 255) // 2, (green + 255) // 2, (blue + 255) // 2)
        canvas.fill(centre - bar_width // 2, base - bar, bar_width, bar, pale)
        x, y = centre - value_width // 2, base - bar - value_height - 5
        canvas.fill(x - 3, y - 2, value_width + 6, value_height + 4, _WHITE)
        entries.append(canvas.value(f" bar {letter}", x, y))
    canvas.fill(left, base, count * pitch, 4, (120, 124, 132))
    for i, (letter, entry) in enumerate(zip(letters, entries, strict=True)):
        x = left + i * pitch + (pitch - _TILE) // 2
        entry.labels.append((f" bar {letter}", canvas.tile(letter, x, base + 10)))


def _paint_inset(canvas: _Canvas, rng: random.Random, entries: int) -> None:
    """A framed panel at the top; its letters may also name bars, so "in the inset" matters."""
    pitch, height = 136, _TILE + 28
    width = entries * pitch + 12
    x, y = rng.randint(8, PAGE_SIDE - 8 - width), rng.randint(8, 56)
    canvas.panel(x, y, width, height)
    for i, letter in enumerate(rng.sample(KEYS, entries)):
        _field(canvas, letter, f" {letter} in the inset", x + 18 + i * pitch, y + 14)


_PAINTERS: dict[str, Callable[[_Canvas, random.Random, float], None]] = {
    "form": _paint_form,
    "table": _paint_table,
    "chart": _paint_chart,
}
