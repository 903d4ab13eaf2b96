"""What there is to say about the configuration file, from the sections that declare its keys.

`python -m active_perception_r1.config.reference` writes the page `docs/configuration.md` and
`workflow_config.schema.json`, by which editors complete and check the file while it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from active_perception_r1.config.file import Config

PAGE = Path("docs/configuration.md")
SCHEMA = Path("workflow_config.schema.json")

_INTRODUCTION = """\
# Configuration

Every key of `workflow_config.yaml`, its default, and what it may hold. NAME stands for a name of
your choice. Files given as `--configfile workflow_config.yaml MINE.yaml` are merged in this order,
and what `--config KEY=VALUE` says over them. A wrong key or value stops with one line that names it
and the nearest right one, before anything runs.

Editors that know YAML complete keys and mark mistakes while you write, if this is the first line of
your file:

```yaml
# yaml-language-server: $schema=workflow_config.schema.json
```

This page and the schema are written by `make reference`, from the sections in
`src/active_perception_r1/config/`.
"""

_LIMITS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true`, `false`",
}

Schema = Mapping[str, Any]


def json_schema() -> dict[str, Any]:
    """JSON Schema of the whole file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_for_users(Config.model_json_schema()),
    }


def page() -> str:
    """The reference of all keys, as Markdown."""
    schema = json_schema()
    parts = [_INTRODUCTION]
    for section in _sections(schema):
        places = ", ".join(f"`{place}`" for place in section.places) or "The file"
        title = f"{places} with `{section.kind}`" if section.kind else places
        described = section.schema.get("description", "")
        parts.append(f"## {title}\n\n{described}\n\n{_table(section.schema)}")
    return "\n".join(parts)


def main() -> None:
    """Write both files."""
    PAGE.write_text(page(), encoding="utf-8")
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    SCHEMA.write_text(text + "\n", encoding="utf-8")


def _for_users(part: Any) -> Any:
    """Without the titles that pydantic makes of names, and what docstrings tell programmers."""
    if isinstance(part, list):
        return [_for_users(value) for value in part]
    if not isinstance(part, dict):
        return part
    kept = {key: _for_users(value) for key, value in part.items() if key != "title"}
    if isinstance(description := kept.get("description"), str):
        text = re.split(r"\n\n(?=Attributes:|Raises:)", description)[0]
        kept["description"] = " ".join(text.split())
    return kept


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of the file.

    Attributes:
        places: where it may stand; none for the whole file.
        kind: `key: name` where sections of several kinds may stand there.
    """

    schema: Schema
    places: list[str]
    kind: str = ""


def _sections(schema: Schema) -> Collection[_Section]:
    """Each section once, in the order of the file, those inside it behind it."""
    found = {"": _Section(schema, [])}

    def visit(section: _Section) -> None:
        for key, value in section.schema["properties"].items():
            for name, suffix, kind in _references(value):
                place = ".".join([*section.places[-1:], key + suffix])
                new = _Section(schema["$defs"][name], [place], kind)
                known = found.setdefault(name, new)
                if place not in known.places:
                    known.places.append(place)
                if known is new:
                    visit(new)

    visit(found[""])
    return found.values()


def _references(value: Schema, suffix: str = "", kind: str = "") -> Iterator[tuple[str, str, str]]:
    """The sections that a key may hold: name, what follows the key in the place, and kind."""
    if "$ref" in value:
        yield value["$ref"].removeprefix("#/$defs/"), suffix, kind
    kinds = value.get("discriminator", {})
    for name, reference in kinds.get("mapping", {}).items():
        yield from _references({"$ref": reference}, suffix, f"{kinds['propertyName']}: {name}")
    for choice in value.get("anyOf", ()):
        yield from _references(choice, suffix)
    for entry in value.get("patternProperties", {}).values():
        yield from _references(entry, f"{suffix}.NAME")


def _table(section: Schema) -> str:
    required = section.get("required", ())
    lines = ["| Key | Value | Default | |", "|---|---|---|---|"]
    for key, value in section["properties"].items():
        default = "required" if key in required else _default(value)
        lines.append(f"| `{key}` | {_value(value)} | {default} | {value['description']} |")
    return "\n".join(lines) + "\n"


def _default(key: Schema) -> str:
    """A section has its own table; what follows from other keys is in the description."""
    if "default" not in key:
        return ""
    value = key["default"]
    is_section = isinstance(value, dict) and value and not all(map(_is_number, value.values()))
    return "" if is_section else f"`{json.dumps(value)}`"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _value(value: Schema | bool) -> str:
    """What a key may hold, in words.

    >>> _value({"type": "integer", "exclusiveMinimum": 0})
    'whole number > 0'
    """
    if isinstance(value, bool):  # JSON Schema for whatever it may be
        return "anything"
    if "anyOf" in value:
        words = [_value(choice) for choice in value["anyOf"]]
        return ", ".join(word for word in words if word)
    if "enum" in value or "const" in value:
        return ", ".join(f"`{name}`" for name in value.get("enum", [value.get("const")]))
    if "$ref" in value or "oneOf" in value:
        return "keys below"
    match value.get("type"):
        case "null":
            return "`null`"
        case "array":
            return f"list of: {_value(value['items'])}"
        case "object":
            entries = list(value.get("patternProperties", {}).values())
            return f"by name: {_value(entries[0] if entries else value['additionalProperties'])}"
        case "string" if "pattern" in value:
            return "name"
        case str(kind):
            limits = (f"{sign} {value[key]:g}" for key, sign in _LIMITS if key in value)
            return " ".join([_WORDS[kind], ", ".join(limits)]).strip()
        case _:
            raise ValueError(f"no words for {value}")


if __name__ == "__main__":
    main()
