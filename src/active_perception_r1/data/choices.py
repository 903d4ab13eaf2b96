"""Options that a question offers, and which of them are right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from active_perception_r1.data.values import is_list, is_nothing, shown, text

_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")
_LETTERED = re.compile(r"\(?([A-Z])[).:]\s")


def right_options(value: Any, options: Sequence[str], letters: bool = False) -> tuple[str, ...]:
    """The texts of the right options.

    Args:
        value: a letter, a text or an index from 0, or several of them. A text that is one of the
            options means that option, not an index.
        options: their texts.
        letters: whether only letters are meant.

    >>> right_options("B", ["red", "blue"]), right_options(0, ["red", "blue"])
    (('blue',), ('red',))
    """
    if is_nothing(value):
        return ()
    given = value if is_list(value) else [value]
    return tuple(_right_option(entry, options, letters) for entry in given)


def _right_option(value: Any, options: Sequence[str], letters: bool) -> str:
    word = text(value).strip()
    letter = _LETTER.fullmatch(word)
    place = ascii_uppercase[: len(options)].find(letter[1].upper()) if letter else -1
    by_letter = options[place] if place >= 0 else None
    if letters and by_letter is None:
        raise ValueError(f"{shown(value)} is no letter of the {len(options)} options")
    by_text = word if word in options and not letters else None
    index = int(word) if word.isdecimal() and int(word) < len(options) else None
    by_index = options[index] if index is not None and (by_text is None or value == index) else None
    meant = {option for option in (by_letter, by_text, by_index) if option is not None}
    if len(meant) == 1:
        return meant.pop()
    if meant:
        raise ValueError(
            f"{shown(value)} may mean {' or '.join(map(repr, sorted(meant)))}; give the right"
            " option's text, as text"
        )
    raise ValueError(
        f"{shown(value)} is no text, letter or index from 0 of the {len(options)} options"
    )


def check_options(options: Sequence[str]) -> None:
    """
    Raises:
        ValueError: they are letters, begin with their letters, or are not all different.
    """
    letters = ascii_uppercase[: len(options)]
    found = [match and match[1].upper() for match in map(_LETTER.fullmatch, options)]
    if found == list(letters):
        raise ValueError("the options are letters; give their texts")
    found = [match and match[1] for match in map(_LETTERED.match, options)]
    if found == list(letters):
        raise ValueError(f"the options begin with letters ({shown(options[0])}); leave them out")
    if len({" ".join(option.casefold().split()) for option in options}) < len(options):
        raise ValueError("two options are the same")
    if not 1 < len(options) <= len(ascii_uppercase):
        raise ValueError(f"{len(options)} options; give 2 to {len(ascii_uppercase)}")
