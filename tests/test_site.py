"""The site of the documentation, as far as it shows without building it (`make site` does)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow import REPOSITORY

TUTORIALS = sorted((REPOSITORY / "docs" / "tutorials").iterdir())


class Loader(yaml.SafeLoader):
    """With the tag by which mkdocs reads an environment variable."""


Loader.add_constructor("!ENV", lambda loader, node: loader.construct_sequence(node))


def leaves(part: Any) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(part, str):
        yield part
    else:
        for below in part.values() if isinstance(part, dict) else part:
            yield from leaves(below)


def test_every_page_is_in_the_navigation_once() -> None:
    settings = yaml.load((REPOSITORY / "mkdocs.yml").read_text(), Loader)  # a SafeLoader
    listed = list(leaves(settings["nav"]))
    assert len(listed) == len(set(listed))
    docs = REPOSITORY / "docs"
    pages = [path for path in docs.rglob("*") if path.suffix in (".md", ".ipynb")]
    written = {path.relative_to(REPOSITORY).with_suffix(".md").as_posix() for path in pages}
    assert {page for page in listed if page.startswith("docs/")} == written
    assert all((REPOSITORY / page).exists() for page in set(listed) - written)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.name)
def test_tutorials_are_kept_as_they_are_written(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), text
        else:
            for target in re.findall(r"\]\(([^)#]+)", text):
                assert (path.parent / target).exists(), target
