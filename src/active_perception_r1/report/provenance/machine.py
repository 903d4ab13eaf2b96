"""What results were computed on and with: hardware, packages, and the commit of the code."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil
import pynvml

from active_perception_r1.runtime.installation import checkout
from active_perception_r1.sim.prefetch import cores

CPUINFO = Path("/proc/cpuinfo")  # of Linux


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory, GPUs and system of this machine."""
    return {
        "cpu": _processor(),
        "cores": cores(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def packages() -> dict[str, str]:
    """Version of every package in this environment, by name."""
    return dict(sorted((found.name.lower(), found.version) for found in distributions()))


def source_commit() -> dict[str, Any]:
    """Commit of the checkout that the package runs from; `dirty`: with changes on top of it."""
    folder = checkout()  # an environment may lie in a repository of somebody else's
    commit = _git(folder, "rev-parse", "HEAD") if folder else None
    dirty = bool(_git(folder, "status", "-s")) if folder and commit else None
    return {"commit": commit, "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _gpus() -> list[str]:
    """Names of all GPUs with their memory, as NVIDIA's management library reports them."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        devices = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [
            f"{pynvml.nvmlDeviceGetName(device)},"
            f" {pynvml.nvmlDeviceGetMemoryInfo(device).total / 2**30:.0f} GiB"
            for device in devices
        ]
    finally:
        pynvml.nvmlShutdown()
