"""GPU leases: no two jobs on one device, however jobs end; in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from active_perception_r1.config import GpuConfig
from active_perception_r1.errors import UserError
from active_perception_r1.runtime import lease as module
from active_perception_r1.runtime.gpu import POOL, Device
from active_perception_r1.runtime.lease import holders, lease, require_granted
from tests.workflow import REPOSITORY

Job = subprocess.Popen[str]
Start = Callable[..., Job]


@pytest.fixture
def policy(tmp_path: Path) -> GpuConfig:
    return GpuConfig(lease_folder=tmp_path / "leases")


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POOL, "0,1")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `tests.lease_job`; kills what is left of it at the end."""
    jobs: list[Job] = []

    def job(count: int, worker: str = "none", hold: float = 60, outlive: float = 60) -> Job:
        command = [sys.executable, "-m", "tests.lease_job", count, tmp_path, worker, hold, outlive]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A group of its own, by which its workers are found in the end.
        jobs.append(
            subprocess.Popen(
                list(map(str, command)), cwd=REPOSITORY, start_new_session=True, **pipes
            )
        )
        return jobs[-1]

    yield job
    for left in jobs:
        if left.poll() is None:
            left.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(left.pid, signal.SIGKILL)
        left.communicate()


def devices_of(job: Job) -> list[str]:
    """What a job has leased, as soon as it has."""
    assert job.stdout is not None
    return job.stdout.readline().split()


def message_of(job: Job) -> str:
    assert job.stderr is not None
    return job.stderr.readline()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


def is_free(policy: GpuConfig, name: str) -> bool:
    device = Device(name, name)
    return device not in holders([device], policy)


def test_two_jobs_get_two_devices(start: Start) -> None:
    assert sorted(devices_of(start(1)) + devices_of(start(1))) == ["0", "1"]


def test_a_third_job_says_whom_it_waits_for_and_gets_the_device_that_is_freed(start: Start) -> None:
    first, second = start(1), start(1)
    freed = devices_of(first)
    devices_of(second)
    third = start(1)
    message = message_of(third)
    assert message.startswith("waiting for 1 of 2 GPUs: GPU 0: held by process ")
    assert str(first.pid) in message
    assert str(second.pid) in message
    first.terminate()
    assert devices_of(third) == freed


def test_a_job_takes_all_its_devices_or_none(start: Start, policy: GpuConfig) -> None:
    first = start(1)
    (taken,) = devices_of(first)
    both = start(2)
    message_of(both)
    assert is_free(policy, "1" if taken == "0" else "0")
    first.terminate()
    assert devices_of(both) == ["0", "1"]


def test_a_job_that_needs_more_is_not_overtaken_for_ever(start: Start) -> None:
    first = start(1)
    devices_of(first)
    both = start(2)
    message_of(both)
    late = start(1)
    assert "queueing behind process" in message_of(late)
    first.terminate()
    assert devices_of(both) == ["0", "1"]


@pytest.mark.parametrize("worker", ["spawn", "fork", "subprocess"])
def test_a_device_is_not_free_before_the_last_process_of_a_killed_job_is_gone(
    worker: str, start: Start, policy: GpuConfig, tmp_path: Path
) -> None:
    job = start(2, worker)
    devices_of(job)
    uses = tmp_path / "uses"
    wait_until(lambda: uses.exists() and len(uses.read_text().splitlines()) == 4)
    job.kill()
    job.wait()
    assert not is_free(policy, "0")
    assert not is_free(policy, "1")
    os.killpg(job.pid, signal.SIGKILL)
    wait_until(lambda: is_free(policy, "0") and is_free(policy, "1"))


def test_a_job_whose_worker_outlives_it_keeps_its_devices(
    start: Start, policy: GpuConfig, tmp_path: Path
) -> None:
    job = start(1, "subprocess", hold=0)
    (device,) = devices_of(job)
    assert job.wait() == 0
    assert not is_free(policy, device)


def test_a_killed_job_frees_its_device(start: Start, policy: GpuConfig) -> None:
    job = start(1)
    (device,) = devices_of(job)
    assert not is_free(policy, device)
    job.kill()
    job.wait()
    assert is_free(policy, device)


def test_files_that_are_left_behind_or_damaged_mean_nothing(policy: GpuConfig) -> None:
    with lease(2, policy, "a"):
        pass
    assert policy.lease_folder is not None
    for path in policy.lease_folder.iterdir():
        path.write_bytes(b"\xff{not json")
    with lease(2, policy, "b") as devices:
        assert devices == ("0", "1")


def test_the_devices_are_visible_inside_and_the_environment_is_as_before_after(
    policy: GpuConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    before = dict(os.environ)
    with lease(1, policy, "a") as devices:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == devices[0]
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    with lease(0, policy, "on the CPU"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert dict(os.environ) == before


def test_more_devices_than_there_are_is_an_error_at_once(
    policy: GpuConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="3 GPUs are needed, but the usable ones are: 0, 1;"):
        lease(3, policy, "a").__enter__()
    monkeypatch.setenv(POOL, "")
    with pytest.raises(UserError, match="1 GPUs are needed, but the usable ones are: none;"):
        lease(1, policy, "a").__enter__()


def test_what_is_visible_bounds_the_pool(
    policy: GpuConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under Slurm, which sets it; names of the user's own are kept."""
    monkeypatch.delenv(POOL)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-4c1, MIG-7/1/0")
    with lease(2, policy, "a") as devices:
        assert devices == ("GPU-4c1", "MIG-7/1/0")


def test_a_device_in_use_by_others_is_passed_over_and_refused_if_there_is_no_other(
    policy: GpuConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_GRACE", 0.0)
    monkeypatch.setattr(
        module, "busy_devices", lambda devices, _: dict.fromkeys(devices[:1], "9 GiB in use")
    )
    with lease(1, policy, "a") as devices:
        assert devices == ("1",)
    with pytest.raises(UserError, match=r"^GPU 0: 9 GiB in use; wait, or share it with allow_busy"):
        lease(2, policy, "b").__enter__()
    with lease(2, policy.model_copy(update={"allow_busy_gpu": True}), "c") as devices:
        assert devices == ("0", "1")


def test_a_request_that_was_capped_is_an_error() -> None:
    require_granted(2, 2)
    require_granted(2, None)  # Nobody granted anything: not run by the pipeline.
    with pytest.raises(UserError, match="needs 2 GPUs, but this job was granted 1: .*gpu=2"):
        require_granted(2, 1)


def test_everybody_can_use_the_folder_and_nobody_delete_from_it(policy: GpuConfig) -> None:
    old = os.umask(0o077)
    try:
        with lease(1, policy, "a"):
            pass
    finally:
        os.umask(old)
    assert policy.lease_folder is not None
    assert policy.lease_folder.stat().st_mode & 0o7777 == 0o1777
    assert {path.stat().st_mode & 0o777 for path in policy.lease_folder.iterdir()} == {0o666}


def test_a_folder_that_cannot_be_had_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="GPU leases cannot be kept there .*set gpu.lease_folder"):
        lease(1, GpuConfig(lease_folder=tmp_path / "file" / "x"), "a").__enter__()


def test_the_lock_file_says_who_has_the_device(policy: GpuConfig) -> None:
    assert policy.lease_folder is not None
    with lease(1, policy, "infer m active"):
        signed = json.loads((policy.lease_folder / "0.lock").read_text())
    assert (signed["pid"], signed["purpose"]) == (os.getpid(), "infer m active")


@pytest.mark.slow
def test_a_storm_of_jobs_and_kills_books_no_device_twice(
    start: Start, tmp_path: Path, lease_jobs: int
) -> None:
    draw = random.Random(4)
    for _ in range(lease_jobs // 10):
        batch = [
            start(
                draw.choice([1, 1, 2]),
                draw.choice(["spawn", "fork", "subprocess"]),
                draw.uniform(0.1, 0.4),
                draw.uniform(0.2, 0.8),
            )
            for _ in range(10)
        ]
        victims = draw.sample(batch, 6)
        for victim in victims:
            devices_of(victim) if draw.random() < 0.5 else time.sleep(draw.uniform(0, 0.3))
            time.sleep(draw.uniform(0, 0.3))
            victim.kill()
        for job in set(batch) - set(victims):
            _, errors = job.communicate(timeout=120)
            assert job.returncode == 0, errors
    users = {line.split("-")[0] for line in (tmp_path / "uses").read_text().splitlines()}
    assert len(users) >= 0.6 * lease_jobs  # Most jobs came to use a device ...
    assert not (tmp_path / "overlaps").exists()  # ... and none met another there.
