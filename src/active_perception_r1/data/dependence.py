"""What the rows of a split depend on besides the data and the configuration.

Snakemake compares it as a parameter of its jobs, and parts of a split are saved under it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from active_perception_r1.storage.fingerprint import code_fingerprint, fingerprint

if TYPE_CHECKING:
    from active_perception_r1.config import Dataset

_SECTIONS = ("", ".errors", ".sources", ".sources._dataset", ".sources._table", ".sources.file")


def download_code(dataset: Dataset) -> str:
    """Fingerprint of the code that brings a split of such a dataset to disk."""
    sections = [f"config{name}" for name in _SECTIONS] + [f"config.sources.{dataset.source}"]
    modules = ["data.download", f"data.sources.{dataset.source}"]
    if dataset.layout:
        modules.append(f"data.formats.{dataset.layout}")
    without = ("data.dependence", *sections)
    return fingerprint(*(code_fingerprint(module, without=without) for module in modules))
