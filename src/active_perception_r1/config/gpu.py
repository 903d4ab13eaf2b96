"""How GPUs are shared with others on the same machine."""

from __future__ import annotations

from pydantic import Field

from active_perception_r1.config.paths import LocalPath
from active_perception_r1.config.section import Section


class GpuConfig(Section):
    """When a GPU counts as in use by others, and where leases are kept."""

    busy_memory_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="a GPU with more of its memory taken is left alone",
    )
    busy_utilisation: float = Field(
        default=0.10,
        ge=0,
        le=1,
        description="a GPU that works for more of its time is left alone",
    )
    allow_busy_gpu: bool = Field(default=False, description="take GPUs in use all the same")
    lease_folder: LocalPath | None = Field(
        default=None,
        description="the same folder for all who share the machine; null is in /run/lock",
    )
