"""Whether a question needs a zoom, where nobody has said so."""

from __future__ import annotations

from collections.abc import Collection

from active_perception_r1.records import Evidence

SMALL_EVIDENCE = 0.05
"""Share of the page below which a region is taken to be illegible in a first view."""


def needs_zoom(evidence: Collection[Evidence]) -> bool:
    """All of the evidence is small; unknown evidence is no reason to demand a zoom.

    >>> from active_perception_r1.geometry import Box
    >>> needs_zoom([Evidence("answer", Box(0.4, 0.4, 0.5, 0.5))]), needs_zoom([])
    (True, False)
    """
    return bool(evidence) and all(region.box.area < SMALL_EVIDENCE for region in evidence)
