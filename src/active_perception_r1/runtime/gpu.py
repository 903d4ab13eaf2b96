"""The GPUs of this machine, and who is using them, as NVIDIA's management library reports it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pynvml

from active_perception_r1.runtime.processes import own_family

if TYPE_CHECKING:  # types only: whoever waits for a GPU need not load pydantic
    from active_perception_r1.config import GpuConfig

POOL = "ACTIVE_PERCEPTION_GPUS"
"""Environment variable with the names of the GPUs to use; needs no such GPUs, so tests set it."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NONE = ("-1", "NoDevFiles")  # CUDA ignores what follows an invalid name; Slurm writes the second.


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or an instance of a divided one (MIG).

    Attributes:
        name: as `CUDA_VISIBLE_DEVICES` spells it here: an index, or a UUID.
        key: the same for all processes of the machine: the UUID; the name where no driver knows it.
    """

    name: str
    key: str


def usable_devices() -> list[Device]:
    """The GPUs that this process may use: those of `POOL`, else of `VISIBLE`, else all.

    So Slurm's or a user's choice is kept. Indices count in the order of the PCI bus.
    """
    with _driver() as present:
        uuids = _uuids() if present else {}
    listed = os.environ.get(POOL, os.environ.get(VISIBLE))
    names = _all_names(uuids) if listed is None else _split(listed)
    devices = {key: Device(name, key) for name in names for key in [_key(name, uuids)]}
    return list(devices.values())


def busy_devices(devices: Iterable[Device], policy: GpuConfig) -> dict[Device, str]:
    """Those in use beyond the limits of `policy` by others than our own processes, described.

    Inside a container the driver does not tell whose the use is; there, all of it counts.
    """
    with _driver() as present:
        found = {device: _use(device, policy) for device in devices if present}
    return {device: use for device, use in found.items() if use}


def smallest_memory(devices: Iterable[Device]) -> int | None:
    """Bytes of the smallest of these GPUs; None where there is none, or no driver to ask."""
    with _driver() as present:
        sizes = [size for device in devices if present and (size := _memory(device))]
    return min(sizes, default=None)


@contextmanager
def _driver() -> Iterator[bool]:
    """Whether there is a driver to ask, inside the block."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def _uuids() -> dict[str, list[str]]:
    """UUID of every GPU, in the order of indices, with those of its instances."""
    handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return {pynvml.nvmlDeviceGetUUID(handle): _instances(handle) for handle in handles}


def _instances(handle: Any) -> list[str]:
    try:
        count = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:
        return []
    uuids = []
    for index in range(count):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError:  # Not every place is taken.
            continue
        uuids.append(pynvml.nvmlDeviceGetUUID(instance))
    return uuids


def _all_names(uuids: Mapping[str, list[str]]) -> list[str]:
    """Indices, but the instances of a divided GPU by UUID: CUDA knows no other name for them."""
    return [
        name for index, instances in enumerate(uuids.values()) for name in instances or [str(index)]
    ]


def _split(listed: str) -> list[str]:
    names: list[str] = []
    for name in (part.strip() for part in listed.split(",")):
        if not name or name in _NONE:
            break
        names.append(name)
    return names


def _key(name: str, uuids: Mapping[str, list[str]]) -> str:
    if name.isdecimal():
        return list(uuids)[int(name)] if int(name) < len(uuids) else name
    meant = [uuid for uuid in uuids if uuid.startswith(name)]  # CUDA accepts a unique beginning.
    return meant[0] if len(meant) == 1 else name


def _use(device: Device, policy: GpuConfig) -> str:
    """What keeps a device busy; empty when it is free, or unknown to the driver."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(device.key)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return ""
    family = own_family()
    own = [process for process in running if process.pid in family]
    used = memory.used - sum(process.usedGpuMemory or 0 for process in own)
    utilisation = 0.0 if own else _utilisation(handle)
    if used <= policy.busy_memory_share * memory.total and utilisation <= policy.busy_utilisation:
        return ""
    pids = [str(process.pid) for process in running if process.pid not in family]
    return (
        f"{used / 2**30:.1f} of {memory.total / 2**30:.1f} GiB and {utilisation:.0%} in use"
        f" by {'processes ' + ', '.join(pids) if pids else 'others'}"
    )


def _memory(device: Device) -> int:
    """Bytes; 0 where the driver does not know it."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(device.key)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:
        return 0


def _utilisation(handle: Any) -> float:
    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except pynvml.NVMLError:  # Instances have none.
        return 0.0
