"""Takes away what Linux alone has, in every Python that has this folder on its PYTHONPATH.

For tests: what the package does here, it also does on macOS. The kernel's files are hidden from the
package only, since libraries have their own ways on other systems.
"""

import errno
import multiprocessing
import os
import sys

_PACKAGE = f"{os.sep}active_perception_r1{os.sep}"
_FILES = ("/proc/", "/sys/")
_FUNCTIONS = ("mallopt", "prctl")
_LIBRARIES = ("genericpath", "pathlib")  # Who uses these to ask for a file is who asks.

_stat = os.stat


def _hidden(path):
    """Whether it is one of the kernel's files, and code of the package asks for it."""
    if not (isinstance(path, str | os.PathLike) and os.fspath(path).startswith(_FILES)):
        return False
    frame = sys._getframe(2)
    while frame and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame = frame.f_back
    return frame is not None and _PACKAGE in frame.f_code.co_filename


def _not_found(path):
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _stat_elsewhere(path, *arguments, **named):
    if _hidden(path):
        raise _not_found(path)
    return _stat(path, *arguments, **named)


def _refuse(event, arguments):
    if event == "ctypes.dlsym" and arguments[1] in _FUNCTIONS:
        raise AttributeError(arguments[1])
    if event == "open" and _hidden(arguments[0]):
        raise _not_found(arguments[0])


if __name__ == "sitecustomize":
    del os.sched_getaffinity
    os.stat = _stat_elsewhere
    os.environ.pop("ACTIVE_PERCEPTION_RUN", None)  # Models are kept between jobs on Linux only.
    multiprocessing.set_start_method("spawn")
    sys.addaudithook(_refuse)
