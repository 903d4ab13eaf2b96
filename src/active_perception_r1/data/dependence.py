"""What the rows of a split depend on besides the data and the configuration.

Snakemake compares it as a parameter of its jobs, and parts of a split are saved under it.
"""

from __future__ import annotations

from active_perception_r1.storage.fingerprint import code_fingerprint, fingerprint


def download_code(source: str) -> str:
    """Fingerprint of the code that brings a split of this kind of source to disk."""
    section = f"config.sources.{source}"  # compared as data
    return fingerprint(
        code_fingerprint("data.download", without=("data.dependence",)),
        code_fingerprint(f"data.sources.{source}", without=("config", "config.sources", section)),
    )
