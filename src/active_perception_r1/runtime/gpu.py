"""Which GPUs are in use by somebody else, as NVIDIA's management library reports it."""

from __future__ import annotations

import os
from typing import Any

import pynvml

BUSY_MEMORY_SHARE = 0.05  # An idle driver takes less; process lists are empty inside containers.


def busy_gpus() -> list[str]:
    """The busy ones among the GPUs that this process may use, described; empty without a driver.

    `CUDA_VISIBLE_DEVICES` counts, by index or by UUID. Ask before a model is loaded, since our own
    use counts as well.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [text for device in _visible() if (text := _use(device))]
    finally:
        pynvml.nvmlShutdown()


def _visible() -> list[Any]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    names = [name.strip() for name in listed.split(",") if name.strip() not in ("", "-1")]
    return [
        pynvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdecimal()
        else pynvml.nvmlDeviceGetHandleByUUID(name)
        for name in names
    ]


def _use(device: Any) -> str:
    """What keeps a device busy; empty when it is free."""
    processes = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
    memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    if not processes and memory.used <= BUSY_MEMORY_SHARE * memory.total:
        return ""
    index = pynvml.nvmlDeviceGetIndex(device)
    used, total = memory.used / 2**30, memory.total / 2**30
    return f"GPU {index} ({len(processes)} processes, {used:.1f} of {total:.1f} GiB in use)"
