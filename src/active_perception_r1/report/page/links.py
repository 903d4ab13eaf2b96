"""Where in the gallery the episodes behind a cell of a table are."""

from __future__ import annotations

from urllib.parse import urlencode

GALLERY = "gallery/index.html"
# What a column is about, as the gallery's address says it (docs/gallery.md); others are about all
# episodes of the row.
_FILTERS = {
    "vs base": {"trained": "gained"},
    "vs baseline": {"change": "gained"},
    "+/-": {"change": "gained"},
    "Gain": {"change": "gained"},
    "Harm": {"change": "harmed"},
    "Errors": {"outcome": "error"},
    "call gain": {"change": "gained"},
    "schema gain": {"change": "gained", "zoom": "no zoom"},
    "call harm": {"change": "harmed"},
    "schema harm": {"change": "harmed", "zoom": "no zoom"},
    "no zoom": {"zoom": "no zoom"},
    "miss": {"zoom": "missed"},
    "hit": {"zoom": "hit"},
    "gained": {"headroom": "gained"},
    "missed": {"headroom": "missed"},
    "misread": {"headroom": "misread"},
    "faithful": {"outcome": "right", "zoom": "hit"},
    "Faithful": {"outcome": "right", "zoom": "hit"},
    "Needed: accuracy": {"needs": "true"},
    "Not needed: accuracy": {"needs": "false"},
}
_UNLINKED = {"n", "beside", "Needed: n", "Not needed: n"}


def link(model: str, mode: str, column: str, kind: str = "") -> str | None:
    """The address of the episodes of a cell; None where it is about no episodes.

    Args:
        kind: what the columns of the table are, where that is a filter: `layout` or `status`.

    >>> link("m+grpo", "active", "hit")
    'gallery/index.html#model=m%2Bgrpo&mode=active&zoom=hit'
    """
    if column in _UNLINKED:
        return None
    chosen = {kind: column} if kind else _FILTERS.get(column, {})
    return f"{GALLERY}#{urlencode({'model': model, 'mode': mode} | chosen)}"
