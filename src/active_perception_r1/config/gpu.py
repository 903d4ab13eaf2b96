"""How GPUs are shared with others on the same machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from active_perception_r1.config.section import Section


class GpuConfig(Section):
    """When a GPU counts as in use by others, and where leases are kept.

    `busy_memory_share` and `busy_utilisation` are in [0, 1]; a GPU above either is left alone
    unless `allow_busy_gpu`. `lease_folder` must be the same for all who share the machine; by
    default it is in `/run/lock`.
    """

    busy_memory_share: float = Field(default=0.05, ge=0, le=1)
    busy_utilisation: float = Field(default=0.10, ge=0, le=1)
    allow_busy_gpu: bool = False
    lease_folder: Path | None = None
