"""What the rows of a split depend on besides the data and the configuration.

Snakemake compares it as a parameter of its jobs, and parts of a split are saved under it.
"""

from __future__ import annotations

from active_perception_r1.storage.fingerprint import code_fingerprint

_OF_ONE_SOURCE = {"synthetic": "data.synthetic", "hub": "data.hub"}


def download_code(source: str) -> str:
    """Fingerprint of the code that brings a split of this kind of source to disk."""
    others = (module for kind, module in _OF_ONE_SOURCE.items() if kind != source)
    return code_fingerprint("data.sources", without=(*others, "data.dependence"))
