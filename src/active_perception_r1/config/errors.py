"""What is wrong with a configuration, in one line that says where and what was likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from active_perception_r1.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")
KeysOfSection = Callable[[Sequence[str]], list[str]]

_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_NO_TAG = ("union_tag_invalid", "union_tag_not_found")
_TAG_OF = {"dataset": "source", "training": "engine"}  # The key that says which kind a section is.


def checked(validate: Callable[[], T], keys_of_section: KeysOfSection) -> T:
    """The result of `validate`, a pydantic validation.

    Args:
        keys_of_section: from the location of a section to the keys that it may hold; empty where
            that is not known.

    Raises:
        ConfigError: the validation failed; the message is about its most telling error.
    """
    try:
        return validate()
    except ValidationError as error:
        # A misspelt key is reported twice, as unknown and as missing: the first tells more.
        found = sorted(error.errors(), key=lambda detail: detail["type"] not in _UNKNOWN_KEY)
        raise ConfigError(_message(found[0], keys_of_section)) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that ends an error message: the likeliest meant name, or the list of all.

    >>> nearest("ativ", ["baseline", "active"])
    "did you mean 'active'?"
    """
    names = [str(name) for name in known]
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"


def undefined(word: str, known: Iterable[str]) -> str:
    """The complaint about a name that nothing has."""
    return f"'{word}' is not defined; {nearest(word, known)}"


def _message(error: ErrorDetails, keys_of_section: KeysOfSection) -> str:
    location = [str(part) for part in error["loc"]]
    known = keys_of_section(location[:-1])
    if location[2:3] == ["dataset"]:
        del location[3:4]  # Pydantic puts the source there; the file has no such level.
    if location[:1] == ["training"]:
        del location[2:3]  # Likewise the engine.
    if location[-1:] == ["[key]"]:
        del location[-2:]  # What is wrong is the name of an entry, not something in it.
    complaint = _complaint(error, location[-1] if location else "", known)
    if error["type"] in _NO_TAG:
        location.append(_tag_key(error))
    return ": ".join(part for part in (".".join(location), complaint) if part)


def _tag_key(error: ErrorDetails) -> str:
    return _TAG_OF["training" if error["loc"][:1] == ("training",) else "dataset"]


def _complaint(error: ErrorDetails, key: str, known: list[str]) -> str:
    given, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case kind if kind in _UNKNOWN_KEY:
            return f"unknown key; {nearest(key, known)}" if known else "unknown key"
        case "missing" | "union_tag_not_found":
            return "missing"
        case "value_error":
            return str(context["error"])
        case "enum" | "literal_error":
            return undefined(str(given), _listed(context["expected"]))
        case "union_tag_invalid":
            return undefined(str(given[_tag_key(error)]), _listed(context["expected_tags"]))
        case "string_pattern_mismatch":
            return (
                f"'{given}' cannot be a name; use letters, digits and . _ + -,"
                " with a letter or digit first"
            )
        case _:
            return f"{error['msg'][:1].lower()}{error['msg'][1:]} (got {given!r})"


def _listed(names: str) -> list[str]:
    """Pydantic's enumeration of names, taken apart.

    >>> _listed("'a', 'b' or 'c'")
    ['a', 'b', 'c']
    """
    return names.replace(" or ", ", ").replace("'", "").split(", ")
