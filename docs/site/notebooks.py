"""Tutorials are notebooks in the repository, and on the site the pages that are made of them."""

from __future__ import annotations

from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between pages lead to pages; a tutorial's own leads to the notebook."""
    text = markdown.replace(".ipynb)", ".md)")
    source = page.file.src_uri
    if "/tutorials/" not in source:
        return text
    notebook = source.rpartition("/")[2].replace(".md", ".ipynb")
    return f"{text}\n\n---\n[This page as a notebook]({notebook})\n"
