"""What is wrong with a configuration, in one line that says where and what was likely meant.

Where a section may stand and which keys it may hold is read off the JSON Schema of the sections,
so that a new key, section, source or engine needs no word here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from active_perception_r1.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")
Schema = Mapping[str, Any]

RENAMED: Mapping[str, str] = {
    "live_episodes": "max_concurrent_episodes",
    "unlooked": "no_zoom_penalty",
}
"""Keys of earlier versions, and what they are called now."""

_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def checked(adapter: TypeAdapter[T], validate: Callable[[TypeAdapter[T]], T]) -> T:
    """The result of `validate`.

    Raises:
        ConfigError: the validation failed; the message is about its most telling error.
    """
    try:
        return validate(adapter)
    except ValidationError as error:
        # A misspelt key is reported twice, as unknown and as missing: the first tells more.
        found = sorted(error.errors(), key=lambda detail: detail["type"] not in _UNKNOWN_KEY)
        raise ConfigError(_message(found[0], adapter.json_schema())) from None


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


def _message(error: ErrorDetails, schema: Schema) -> str:
    location = error["loc"]
    if location[-1:] == ("[key]",):
        location = location[:-2]  # What is wrong is the name of an entry, not something in it.
    names, section = _walk(schema, location)
    if error["type"].startswith("union_tag"):
        names.append(section["discriminator"]["propertyName"])
    _, around = _walk(schema, location[:-1])
    known = list(around.get("properties", ()))
    complaint = _complaint(error, names[-1] if names else "", known)
    return ": ".join(part for part in (".".join(names), complaint) if part)


def _walk(schema: Schema, location: Sequence[str | int]) -> tuple[list[str], Schema]:
    """The names on the way to a place of the file, and the part of the schema that describes it.

    Pydantic's location of an error also names the kind of a section where there are several; the
    file has no such level.
    """
    names: list[str] = []
    here = _resolved(schema, schema)
    for part in location:
        kinds = here.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            here = _resolved({"$ref": kinds[part]}, schema)
            continue
        names.append(str(part))
        entries = [*here.get("patternProperties", {}).values(), here.get("additionalProperties")]
        below = here.get("properties", {}).get(part) or here.get("items") or entries[0]
        here = _resolved(below if isinstance(below, Mapping) else {}, schema)
    return names, here


def _resolved(part: Schema, schema: Schema) -> Schema:
    """What a reference refers to, and what a value is if it is not null."""
    for choice in part.get("anyOf", ()):
        if choice.get("type") != "null":
            return _resolved(choice, schema)
    if name := part.get("$ref", "").removeprefix("#/$defs/"):
        return _resolved(schema["$defs"][name], schema)
    return part


def _complaint(error: ErrorDetails, key: str, known: list[str]) -> str:
    given, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case kind if kind in _UNKNOWN_KEY:
            if RENAMED.get(key) in known:
                return f"now called {RENAMED[key]}"
            return f"unknown key; {nearest(key, known)}" if known else "unknown key"
        case "union_tag_not_found" if not isinstance(given, Mapping):
            return f"give a mapping with this key (got {given!r})"
        case "missing" | "union_tag_not_found":
            return "missing"
        case "value_error":
            return str(context["error"])
        case "enum" | "literal_error":
            return undefined(str(given), _listed(context["expected"]))
        case "union_tag_invalid":
            return undefined(context["tag"], _listed(context["expected_tags"]))
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
