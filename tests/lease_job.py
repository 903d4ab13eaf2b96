"""A job that leases GPUs, for tests: python -m tests.lease_job COUNT FOLDER START HOLD OUTLIVE

It starts a worker by START (spawn, fork, subprocess or none), works HOLD seconds, ends its lease
and itself; the worker works OUTLIVE seconds from its start. Both observe the devices in use without
any part of the lease: each locks a file of its own in FOLDER/observed, which the kernel undoes when
it is gone, then writes to FOLDER/overlaps whatever file of another job is locked there.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from active_perception_r1.runtime.lease import lease


def use(folder: Path, job: int, devices: tuple[str, ...], seconds: float) -> None:
    """Work on devices; the kernel ends the observation when the process is gone, killed or not."""
    files = [_observe(folder, job, device) for device in devices]
    time.sleep(seconds)
    for file in files:
        os.close(file)


def _observe(folder: Path, job: int, device: str) -> int:
    """Hold a file of our own that is locked; look whether one of another job is, too."""
    mine = folder / "observed" / device / f"{job}-{os.getpid()}"
    mine.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(mine, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    for other in mine.parent.iterdir():
        if not other.name.startswith(f"{job}-") and _is_locked(other):
            with (folder / "overlaps").open("a") as log:
                log.write(f"{mine.name} and {other.name} on device {device}\n")
    with (folder / "uses").open("a") as log:
        log.write(f"{mine.name} {device}\n")
    return file


def _is_locked(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def main(count: int, folder: Path, start: str, hold: float, outlive: float) -> None:
    policy = SimpleNamespace(allow_busy_gpu=True, lease_folder=folder / "leases")
    with lease(count, policy, f"test {start}") as devices:  # type: ignore[arg-type]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(devices)
        work = (folder, os.getpid(), devices, outlive)
        if start in ("spawn", "fork"):
            multiprocessing.get_context(start).Process(target=use, args=work).start()
        elif start == "subprocess":
            program = (
                f"from pathlib import PosixPath; from tests.lease_job import use; use(*{work!r})"
            )
            subprocess.Popen([sys.executable, "-c", program])
        print(*devices, flush=True)
        use(folder, os.getpid(), devices, hold)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
