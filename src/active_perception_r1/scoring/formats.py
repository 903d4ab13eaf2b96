"""Numbers as readers expect them."""

from __future__ import annotations

MISSING = "–"


def share(value: float | None) -> str:
    """Three digits of a share or a mean; a dash where there is none."""
    return MISSING if value is None else f"{value:.3f}"


def chance(p_value: float | None) -> str:
    """A p value; nothing where there was no test."""
    if p_value is None:
        return ""
    return "p < .001" if p_value < 0.001 else f"p = {p_value:.3f}"
