"""Leases of GPUs, so that no two jobs of one machine meet on a device.

A lease is an `flock` on one file per device, which the kernel frees when the last process that has
the file open is gone. Forked children have it open. A child that runs another program (`spawn`,
`subprocess`) has not, so every lease has a token besides: it stands in the lock file and, as
`TOKEN`, in the environment of whatever the job starts, and while a process with a device's last
token lives, the device is not free. Thus a lease ends with the last process of the job, however the
job ends, and lock files that are left behind mean nothing.

Processes of other users cannot be asked for their environment (unless by root). What outlives a
killed job of another user is seen by its use of the GPU; see `runtime.gpu`.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Self

from active_perception_r1.errors import UserError
from active_perception_r1.runtime.gpu import VISIBLE, Device, busy_devices, usable_devices
from active_perception_r1.runtime.processes import processes_with

if TYPE_CHECKING:  # types only: whoever waits for a GPU need not load pydantic
    from active_perception_r1.config import GpuConfig

TOKEN = "ACTIVE_PERCEPTION_LEASE"
LEAVE = signal.SIGURG  # No harm to a process that does not know what it means.
BUSY_GRACE = 30.0  # Seconds in which the memory of a job that has just ended may be freed.
BUSY_CURE = "; wait, or share it with allow_busy_gpu: true (--allow-busy-gpu)"
SETTLE = 0.05  # Seconds; between fork and exec, a process shows neither lock nor token.
POLL = 0.2  # Seconds between two attempts.
SOMEBODY = "a process that is just starting"
REMIND = 60.0  # Seconds between two messages that say the same.


@contextmanager
def lease(
    count: int, policy: GpuConfig, purpose: str, yields: bool = False
) -> Iterator[tuple[str, ...]]:
    """Have `count` GPUs to oneself inside the block; waits until they are free.

    Their names are yielded, and set as `CUDA_VISIBLE_DEVICES` for this process and its children:
    enter before CUDA starts. With a count of 0, no GPU is visible.

    Args:
        purpose: what the others are told that the GPUs are used for.
        yields: who waits for the GPUs sends this process `LEAVE`, at which it ends if it has
            nothing to do.

    Raises:
        UserError: there are not so many GPUs, others use them without a lease, or the lock files
            cannot be written.
    """
    me = Holder(purpose, yields)
    locks = _acquire(count, policy, me) if count else []
    names = tuple(lock.device.name for lock in locks)
    environment = dict(os.environ)
    os.environ[VISIBLE] = ",".join(names)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # What an index means here and to the driver.
    os.environ[TOKEN] = me.token
    try:
        yield names
    finally:
        for variable in (VISIBLE, "CUDA_DEVICE_ORDER", TOKEN):
            os.environ.pop(variable, None)
            if variable in environment:
                os.environ[variable] = environment[variable]
        for lock in locks:
            lock.close()


def require_granted(needed: int, granted: int | None) -> None:
    """Snakemake silently lowers a request to its limit: refuse to run on less than was asked for.

    Raises:
        UserError: fewer GPUs are granted than needed.
    """
    if granted is not None and granted < needed:
        raise UserError(
            f"the model needs {needed} GPUs, but this job was granted {granted}: run Snakemake with"
            f" --resources gpu={needed} or more, or set a smaller gpus of the model"
        )


def holders(devices: Sequence[Device], policy: GpuConfig) -> dict[Device, str]:
    """Who has leased which of the devices at this moment, described."""
    folder = _folder(policy)
    found = {}
    for device in devices:
        lock = _Lock(folder, device)
        if text := lock.taken_by() if lock.try_lock() else f"held by {lock.holder() or SOMEBODY}":
            found[device] = text
        lock.close()
    return found


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lease, as the lock file says it."""

    purpose: str
    yields: bool = False
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    pid: int = field(default_factory=os.getpid)
    user: str = field(default_factory=lambda: _user_name())
    since: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))

    def __str__(self) -> str:
        return f"process {self.pid} ({self.purpose}; {self.user}, since {self.since})"


class _Lock:
    """The lock file of a device; opened at once, locked by `try_lock`."""

    def __init__(self, folder: Path, device: Device) -> None:
        self.device = device
        self._path = folder / f"{device.key.replace('/', '_')}.lock"
        self._file = _open(self._path)

    def try_lock(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:  # A file that somebody has deleted meanwhile would be locked by us alone.
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def holder(self) -> Holder | None:
        """The present holder, or the last one."""
        try:
            return Holder(**json.loads(os.pread(self._file, 4096, 0)))
        except (ValueError, TypeError):  # Nobody has signed yet.
            return None

    def taken_by(self) -> str:
        """What still lives of the last holder's job, described; for who has the lock."""
        last = self.holder()
        pids = processes_with(TOKEN, last.token) if last else []
        return f"held by processes {', '.join(map(str, pids))}, left by {last}" if pids else ""

    def sign(self, holder: Holder, inheritable: bool = False) -> None:
        """Say who has the lock; `inheritable` leaves the file open in programs that are run."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(holder)).encode(), 0)
        os.set_inheritable(self._file, inheritable)

    def close(self) -> None:
        # Not unlocked: children that have it open keep it.
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _acquire(count: int, policy: GpuConfig, me: Holder) -> list[_Lock]:
    devices = usable_devices()
    if len(devices) < count:
        names = ", ".join(device.name for device in devices) or "none"
        raise UserError(
            f"{count} GPUs are needed, but the usable ones are: {names}; see"
            f" {VISIBLE} and nvidia-smi, or set gpus: 0 to run on the CPU"
        )
    folder, notice = _folder(policy), _Notice(f"waiting for {count} of {len(devices)} GPUs: ")
    # One queue for all who choose among the same devices: nobody is overtaken for ever by jobs that
    # need less, and no two jobs take away from each other what neither can use.
    keys = ",".join(sorted(device.key for device in devices))
    queue = Device("queue", f"queue-{uuid.uuid5(uuid.NAMESPACE_OID, keys).hex}")
    busy_since = None
    with _wait_for(queue, folder, notice) as turn:
        turn.sign(me)
        while True:
            attempt = _attempt(count, devices, policy, folder)
            if len(attempt.locks) == count:
                for lock in attempt.locks:
                    lock.sign(me, inheritable=True)
                return attempt.locks
            if count <= len(devices) - len(attempt.busy):
                busy_since = None
            elif (busy_since := busy_since or time.monotonic()) + BUSY_GRACE < time.monotonic():
                raise UserError(describe(attempt.busy) + BUSY_CURE)
            notice.show(describe(attempt.leased | attempt.busy))
            time.sleep(POLL)


def _wait_for(device: Device, folder: Path, notice: _Notice) -> _Lock:
    while True:
        lock = _Lock(folder, device)
        if lock.try_lock():
            return lock
        notice.show(f"queueing behind {lock.holder() or SOMEBODY}")
        lock.close()
        time.sleep(POLL)


@dataclass(frozen=True, slots=True)
class _Attempt:
    locks: list[_Lock]
    leased: dict[Device, str]
    busy: dict[Device, str]


def _attempt(count: int, devices: Sequence[Device], policy: GpuConfig, folder: Path) -> _Attempt:
    """Take `count` devices or none; in the same order everywhere."""
    locks: list[_Lock] = []
    leased: dict[Device, str] = {}
    busy = {} if policy.allow_busy_gpu else busy_devices(devices, policy)
    for device in sorted(devices, key=lambda device: device.key):
        lock = _Lock(folder, device)
        if not lock.try_lock():
            holder = lock.holder()
            leased[device] = f"held by {holder or SOMEBODY}"
            if holder and holder.yields:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(holder.pid, LEAVE)
        elif left := lock.taken_by():
            leased[device] = left
        elif device not in busy and len(locks) < count:
            locks.append(lock)
            continue
        lock.close()
    if len(locks) == count:
        time.sleep(SETTLE)
        if not any(lock.taken_by() for lock in locks):
            order = {device: place for place, device in enumerate(devices)}
            return _Attempt(sorted(locks, key=lambda lock: order[lock.device]), {}, {})
    for lock in locks:
        lock.close()
    # A leased device is in use by its holder.
    return _Attempt([], leased, {device: busy[device] for device in busy if device not in leased})


def _user_name() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # Containers run under ids that have no name.
        return f"user {os.getuid()}"


def describe(devices: Mapping[Device, str]) -> str:
    return "; ".join(f"GPU {device.name}: {text}" for device, text in devices.items())


class _Notice:
    """Says on standard error what is waited for: when that changes, and now and then."""

    def __init__(self, start: str) -> None:
        self._start = start
        self._text = ""
        self._said = 0.0

    def show(self, text: str) -> None:
        now = time.monotonic()
        if text != self._text or now - self._said >= REMIND:
            print(self._start + text, file=sys.stderr, flush=True)
            self._text, self._said = text, now


def _folder(policy: GpuConfig) -> Path:
    """The folder of the lock files, made if need be; everybody may write there."""
    shared = Path("/run/lock") if os.access("/run/lock", os.W_OK) else Path("/tmp")
    folder = policy.lease_folder or shared / "active-perception-gpus"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid == os.getuid():
            folder.chmod(0o1777)
    except OSError as error:
        raise UserError(
            f"{folder}: GPU leases cannot be kept there ({error.strerror}); set gpu.lease_folder"
        ) from None
    return folder


def _open(path: Path) -> int:
    """Open a lock file, for all users alike."""
    try:
        try:
            # Not with O_CREAT: Linux may refuse that for files of others in a shared folder.
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT, 0o666)
            if os.fstat(file).st_uid == os.getuid():
                os.fchmod(file, 0o666)  # whatever the umask
            return file
    except OSError as error:
        raise UserError(
            f"{path}: cannot be opened ({error.strerror}); remove it, or set gpu.lease_folder"
        ) from None
