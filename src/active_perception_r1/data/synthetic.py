"""Synthetic document pages with values in small print, which only a zoom shows, and in large.

A page is 672 x 672 pixels. Labels are large coloured letter tiles, legible when the page is shrunk
to 112 x 112; every value is a two-digit number about 16 px tall, which no longer exists as shape at
that size (about 2.7 px) but is easy to read in a crop. Three layouts:

- `form`: cards on a grid, each with a letter tile and a value;
- `table`: row and column headings as tiles, values in the cells;
- `chart`: bars with a tile below and a value on top, and an inset panel with entries of its own.

Every page has a total, too: a card with a black tile and a value below it, somewhere on a form,
beside a table, above a chart. It may be in large print, about 64 px tall: 11 px are left of it in
the first view, enough to read it there. The words of a question do not tell in which print its
answer is; only the page does.

Nothing but the digits tells a value: the value is drawn last, independently of letters, colours,
places, print and of the height of its bar. A page is a function of the random state alone, and
rendering takes well under a millisecond because all glyphs are drawn once.
"""

from __future__ import annotations

import colorsys
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from active_perception_r1.geometry import Box

LAYOUTS: tuple[str, ...] = ("form", "table", "chart")
KEYS = "ABCDEFGH"
"""Letters of form fields, table rows, bars and inset entries."""
COLUMN_KEYS = "PQRSTU"
"""Letters of table columns."""
TOTAL = "total"
"""The word for the total's tile."""
PAGE_SIDE = 672
"""Side of a page in pixels."""

LARGE_PRINT = 4
"""How many times as large as small print it is."""

_TILE = 72
_PLACES = 4  # along each side: for the cards of a form, and for the total on every page
_PLACE = PAGE_SIDE // _PLACES
_SMALL_PX = 22  # font of the values
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
        large_print: the value is legible in a first view of 112 x 112 pixels.
    """

    text: str
    answer: str
    word_index: int
    labels: tuple[tuple[str, int], ...]
    large_print: bool


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page image with its words in reading order and all questions that it answers."""

    image: Image.Image
    layout: str
    words: tuple[Word, ...]
    questions: tuple[PageQuestion, ...]


def render_page(
    rng: random.Random, layout: str, fullness: float = 1.0, large_print: bool = False
) -> RenderedPage:
    """Draws one page.

    Args:
        rng: the only source of randomness.
        layout: one of `LAYOUTS`.
        fullness: share of a full page's entries, in (0, 1]; less than 1 makes an easier page, for
            the first part of a training curriculum; below 1/2 it has no total.
        large_print: the total is in large print.
    """
    canvas = _Canvas(rng, has_total=fullness >= 0.5)
    _PAINTERS[layout](canvas, rng, fullness, large_print)
    return canvas.page(layout)


def value_phrase(question: str) -> str:
    """What a question asks about, e.g. `" row B, column Q"`, with its leading space."""
    return question.removeprefix("What is the value of").removesuffix("?")


@dataclass(frozen=True, slots=True)
class _Digits:
    """The digits of one print on white, all of one size in pixels."""

    images: dict[str, Image.Image]
    width: int
    height: int

    @property
    def value_size(self) -> tuple[int, int]:
        """Width and height of a value of two digits in pixels."""
        return 2 * self.width, self.height


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """The letter tiles, and their colours."""

    tiles: dict[str, Image.Image]
    colours: dict[str, Colour]


@cache
def _glyphs() -> _Glyphs:
    colours = {key: _hue(i / len(KEYS), 0.9, 0.55 if i % 2 else 0.92) for i, key in enumerate(KEYS)}
    tiles = {key: _tile(key, _WHITE, colours[key]) for key in KEYS}
    for i, key in enumerate(COLUMN_KEYS):  # pale tiles with dark letters: not to be taken for rows
        colours[key] = _hue((i + 0.5) / len(COLUMN_KEYS), 0.42, 1.0)
        tiles[key] = _tile(key, _INK, colours[key])
    tiles[TOTAL] = _tile("=", _WHITE, _INK)
    return _Glyphs(tiles, colours)


@cache
def _digits(large_print: bool, /) -> _Digits:  # by position alone, or the cache would draw twice
    size = _SMALL_PX * (LARGE_PRINT if large_print else 1)
    font, stroke = ImageFont.load_default(size), size / 40
    width, height = int(size * 0.66), round(size * 0.9)
    images = {}
    for digit in "0123456789":
        images[digit] = Image.new("RGB", (width, height), _WHITE)
        draw, at = ImageDraw.Draw(images[digit]), (width / 2, height / 2)
        draw.text(
            at, digit, font=font, fill=_INK, anchor="mm", stroke_width=stroke, stroke_fill=_INK
        )
    return _Digits(images, width, height)


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


@dataclass(slots=True)
class _Entry:
    """A value on the page with the phrase that asks for it and the words that label it."""

    phrase: str
    value: int
    large_print: bool
    labels: list[tuple[str, int]] = field(default_factory=list)


class _Canvas:
    """Image, words and questions of a page in the making; all places in pixels."""

    def __init__(self, rng: random.Random, has_total: bool) -> None:
        self._rng = rng
        self.has_total = has_total
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
        """Draws a letter's tile with its corner at (x, y) and returns the index of its word."""
        self._image.paste(_glyphs().tiles[letter], (x, y))
        return self._word(letter, x, y, _TILE, _TILE)

    def value(self, phrase: str, x: int, y: int, large_print: bool = False) -> _Entry:
        """Draws a random value on a white ground, its corner at (x, y), as an answer."""
        digits = _digits(large_print)
        text = str(self._rng.randint(10, 99))
        for i, digit in enumerate(text):
            self._image.paste(digits.images[digit], (x + i * digits.width, y))
        entry = _Entry(phrase, self._word(text, x, y, *digits.value_size), large_print)
        self.entries.append(entry)
        return entry

    def page(self, layout: str) -> RenderedPage:
        questions = tuple(
            PageQuestion(
                text=f"What is the value of{entry.phrase}?",
                answer=self._words[entry.value].text,
                word_index=entry.value,
                labels=tuple(entry.labels),
                large_print=entry.large_print,
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
    _, height = _digits(False).value_size
    entry = canvas.value(phrase, x + _TILE + _GAP, y + (_TILE - height) // 2)
    entry.labels.append((phrase, label))


def _paint_total(canvas: _Canvas, column: int, row: int, large_print: bool) -> None:
    """A card with the total's tile and the value below it; the print changes nothing else."""
    if not canvas.has_total:
        return
    width, height = _digits(True).value_size
    gap, margin = 2, 3
    # Not in the middle: so a crop of a fifth of the page shows no neighbour's value.
    x, y = column * _PLACE + 44, row * _PLACE + margin
    canvas.panel(x - margin, y - margin, width + 2 * margin, _TILE + gap + height + 2 * margin)
    label = canvas.tile(TOTAL, x + (width - _TILE) // 2, y)
    y += _TILE + gap
    value_width, value_height = _digits(large_print).value_size
    x, y = x + (width - value_width) // 2, y + (height - value_height) // 2
    entry = canvas.value(f" the {TOTAL}", x, y, large_print)
    entry.labels.append((f" the {TOTAL}", label))


def _paint_form(canvas: _Canvas, rng: random.Random, fullness: float, large_print: bool) -> None:
    """The total and up to five cards, in sixteen places far enough apart to be shown alone."""
    count = max(1, round(5 * fullness))
    total, *places = rng.sample(range(_PLACES**2), 1 + count)
    _paint_total(canvas, total % _PLACES, total // _PLACES, large_print)
    width, height, margin, jitter = _TILE + _GAP + _digits(False).value_size[0], _TILE, 7, 20
    for letter, place in zip(rng.sample(KEYS, count), sorted(places), strict=True):
        x = place % _PLACES * _PLACE + (_PLACE - width) // 2 + rng.randint(-jitter, jitter)
        y = place // _PLACES * _PLACE + (_PLACE - height) // 2 + rng.randint(-jitter, jitter)
        canvas.panel(x - margin, y - margin, width + 2 * margin, height + 2 * margin)
        _field(canvas, letter, f" {letter}", x, y)


def _paint_table(canvas: _Canvas, rng: random.Random, fullness: float, large_print: bool) -> None:
    """Two or three rows and columns; the total is above, below or beside them."""
    most = max(1, round(3 * fullness))
    across, after = rng.random() < 0.5, rng.random() < 0.5  # the total: above or below; then last
    place, end = rng.randrange(_PLACES), (_PLACES - 1) * after
    _paint_total(canvas, *((place, end) if across else (end, place)), large_print)
    bounded, free = (rng.randint(max(1, most - 1), most) for _ in range(2))
    heading, margin = _TILE + 16, 4
    spans = []
    for count, bound in ((free, False), (bounded, True)):
        start, end = (0, PAGE_SIDE - _PLACE) if bound else (0, PAGE_SIDE)
        if bound and not after:
            start, end = _PLACE, PAGE_SIDE
        pitch = min(176, rng.randint(134, (end - start - heading - 2 * margin) // count))
        length = heading + count * pitch
        spans.append((rng.randint(start + margin, end - margin - length), pitch, count))
    (left, pitch_x, columns), (top, pitch_y, rows) = spans if across else reversed(spans)
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
        canvas.tile(letter, x + (pitch_x - _TILE) // 2, top + 8)
        for letter, x in zip(column_letters, column_x, strict=True)
    ]
    value_width, value_height = _digits(False).value_size
    for row, y in zip(row_letters, row_y, strict=True):
        row_word = canvas.tile(row, left + 8, y + (pitch_y - _TILE) // 2)
        for column, x, column_word in zip(column_letters, column_x, column_words, strict=True):
            value_x, value_y = x + (pitch_x - value_width) // 2, y + (pitch_y - value_height) // 2
            entry = canvas.value(f" row {row}, column {column}", value_x, value_y)
            entry.labels += [(f" row {row}", row_word), (f" column {column}", column_word)]


def _paint_chart(canvas: _Canvas, rng: random.Random, fullness: float, large_print: bool) -> None:
    """Three or four bars; above them the total, and an inset panel with one or two entries."""
    most = max(1, round(4 * fullness))
    total = rng.randrange(_PLACES)
    _paint_total(canvas, total, 0, large_print)
    _paint_inset(canvas, rng, total, entries=1 if fullness < 1 else rng.randint(1, 2))
    count = rng.randint(max(1, most - 1), most)
    pitch = rng.randint(140, min(176, 640 // count))
    left = rng.randint(16, PAGE_SIDE - 16 - count * pitch)
    base = rng.randint(560, 580)
    for y in range(base - 340, base, 85):
        canvas.fill(left, y, count * pitch, 2, _LINE)
    letters = rng.sample(KEYS, count)
    bar_width, (value_width, value_height) = 56, _digits(False).value_size
    entries = []
    for i, letter in enumerate(letters):
        centre = left + i * pitch + pitch // 2
        bar = rng.randint(40, 310)  # drawn before, and independent of, the value above it
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


def _paint_inset(canvas: _Canvas, rng: random.Random, total: int, entries: int) -> None:
    """A framed panel left or right of the total; its letters may also name bars."""
    pitch, height, margin = 136, _TILE + 28, 8
    width = entries * pitch + 12
    sides = ((margin, total * _PLACE), ((total + 1) * _PLACE + margin, PAGE_SIDE - margin))
    start, end = rng.choice([(start, end) for start, end in sides if end - start >= width])
    x, y = rng.randint(start, end - width), rng.randint(8, 56)
    canvas.panel(x, y, width, height)
    for i, letter in enumerate(rng.sample(KEYS, entries)):
        _field(canvas, letter, f" {letter} in the inset", x + 18 + i * pitch, y + 14)


_PAINTERS: dict[str, Callable[[_Canvas, random.Random, float, bool], None]] = {
    "form": _paint_form,
    "table": _paint_table,
    "chart": _paint_chart,
}
