"""What is said about the configuration's keys is the same in the code, the docs and the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from active_perception_r1.config.reference import PAGE, SCHEMA, json_schema, page

REPOSITORY = Path(__file__).parent.parent
SHIPPED = REPOSITORY / "workflow_config.yaml"
STORED: dict[str, Any] = json.loads((REPOSITORY / SCHEMA).read_text(encoding="utf-8"))


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in {"": schema, **schema["$defs"]}.items():
        for key, value in section["properties"].items():
            yield f"{name}.{key}", value


KEYS = dict(keys(json_schema()))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_described_where_it_is_declared(key: str) -> None:
    assert KEYS[key].get("description")


def test_the_page_is_made_of_these_descriptions() -> None:
    stored = (REPOSITORY / PAGE).read_text(encoding="utf-8")
    assert stored == page(), "out of date: make reference"
    for key, value in KEYS.items():
        row = rf"^\| `{key.split('.')[1]}` \|.*\| {re.escape(value['description'])} \|$"
        assert re.search(row, stored, re.M), key


def test_so_is_the_schema() -> None:
    assert json_schema() == STORED, "out of date: make reference"


def test_the_schema_accepts_the_shipped_file() -> None:
    jsonschema.validate(yaml.safe_load(SHIPPED.read_text(encoding="utf-8")), STORED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models/tiny-zoom-vlm/zoom_sintax", "zoom_roi"),
        ("models/tiny-zoom-vlm/zoom_syntax", "zoom_rio"),
        ("models/tiny-zoom-vlm/gpus", -1),
        ("studies/demo/dataset", {"source": "synthetik"}),
        ("training/tiny-zoom-vlm+grpo/engine", "verll"),
        ("training/tiny-zoom-vlm+grpo/reward", {"unlooked": 1}),
    ],
)
def test_and_refuses_what_the_pipeline_refuses(path: str, value: object) -> None:
    raw = section = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    *parents, last = path.split("/")
    for key in parents:
        section = section[key]
    section[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, STORED)


def test_the_first_line_of_the_shipped_file_tells_editors_of_the_schema() -> None:
    first = SHIPPED.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA}"


def test_names_of_the_code_do_not_reach_users() -> None:
    for text in (page(), json.dumps(STORED)):
        assert "__" not in text
        assert "ClassVar" not in text
