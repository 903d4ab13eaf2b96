"""Which GPUs there are and who uses them, as a faked management library reports it."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pynvml
import pytest

from active_perception_r1.config import GpuConfig
from active_perception_r1.runtime import gpu
from active_perception_r1.runtime.gpu import POOL, VISIBLE, Device, busy_devices, usable_devices

GIB = 2**30
POLICY = GpuConfig()


class FakeDriver:
    """GPUs of 64 GiB: GPU-a0 is free, GPU-b1 is divided into two instances, the last as given."""

    NVMLError = pynvml.NVMLError
    uuids = ("GPU-a0", "GPU-b1", "GPU-c2")

    def __init__(self, used: int = 0, utilisation: int = 0, pids: tuple[int, ...] = ()) -> None:
        self.used, self.utilisation, self.pids = used, utilisation, pids

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlShutdown(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return self.uuids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.uuids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:  # noqa: N802
        return 7 if handle == "GPU-b1" else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:  # noqa: N802
        if index not in (0, 2):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return f"MIG-{index}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=self.used * (handle == "GPU-c2"), total=64 * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=self.utilisation * (handle == "GPU-c2"))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:  # noqa: N802
        pids = self.pids if handle == "GPU-c2" else ()
        return [SimpleNamespace(pid=pid, usedGpuMemory=16 * GIB) for pid in pids]


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POOL, raising=False)
    monkeypatch.delenv(VISIBLE, raising=False)


def names_and_keys(visible: str | None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    monkeypatch.setattr(gpu, "pynvml", FakeDriver())
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    return [(device.name, device.key) for device in usable_devices()]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [("0", "GPU-a0"), ("MIG-0", "MIG-0"), ("MIG-2", "MIG-2"), ("2", "GPU-c2")]),
        ("2,0", [("2", "GPU-c2"), ("0", "GPU-a0")]),
        ("GPU-c, MIG-2", [("GPU-c", "GPU-c2"), ("MIG-2", "MIG-2")]),
        ("0,GPU-a0", [("GPU-a0", "GPU-a0")]),  # One device, whatever it is called.
        ("0,-1,2", [("0", "GPU-a0")]),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_a_device_has_one_key_however_it_is_named(
    visible: str | None, expected: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names_and_keys(visible, monkeypatch) == expected


def test_the_pool_may_hold_devices_that_no_driver_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POOL, "x,y")
    assert names_and_keys("0", monkeypatch) == [("x", "x"), ("y", "y")]


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert usable_devices() == []
    assert busy_devices([Device("0", "0")], POLICY) == {}


STRANGER = 2**22 + 1  # No process has such an id.


def busy(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.setattr(gpu, "pynvml", driver)
    free, divided, last = Device("0", "GPU-a0"), Device("MIG-0", "MIG-0"), Device("2", "GPU-c2")
    found = busy_devices([free, divided, last], POLICY)
    assert set(found) <= {last}
    return found.get(last)


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (FakeDriver(used=3 * GIB, utilisation=10), None),
        (FakeDriver(used=4 * GIB), "4.0 of 64.0 GiB and 0% in use by others"),
        (FakeDriver(utilisation=11), "0.0 of 64.0 GiB and 11% in use by others"),
        (
            FakeDriver(used=16 * GIB, pids=(STRANGER,)),
            f"16.0 of 64.0 GiB and 0% in use by processes {STRANGER}",
        ),
    ],
)
def test_memory_or_utilisation_above_the_limit_makes_a_device_busy(
    driver: FakeDriver, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert busy(driver, monkeypatch) == expected


def test_our_own_processes_do_not_count_and_others_beside_them_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        family = (os.getpid(), os.getppid(), child.pid)
        ours = FakeDriver(used=48 * GIB, utilisation=99, pids=family)
        assert busy(ours, monkeypatch) is None
        shared = FakeDriver(used=32 * GIB, utilisation=99, pids=(os.getpid(), STRANGER))
        assert busy(shared, monkeypatch) == (
            f"16.0 of 64.0 GiB and 0% in use by processes {STRANGER}"
        )
    finally:
        child.communicate()
