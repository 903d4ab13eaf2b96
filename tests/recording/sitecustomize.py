"""Writes down whose functions run in the jobs of a pipeline; read at every start of Python.

For tests: with this folder on PYTHONPATH, and RECORD naming a folder, every process of a command
`active-perception ..` adds lines to a file of its own there: first the command as JSON, then the
files of the package as their functions are first called. What is only imported, or checks the
configuration, is not among them.
"""

import json
import os
import sys
import threading
import time

_COMMAND = "RECORDED_COMMAND"  # of the job whose process started this one, such as a worker
_PACKAGE = "/active_perception_r1/"
_SETTINGS = ("config/", "keys/", "report/provenance/keys.py")
_OPTIMISED = 1  # a flag of functions, which bodies of modules and classes do not have
_INLINE = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}  # their function has run before


def _decides_nothing(frame):
    """Whether it runs on behalf of an import, or of settings, which count by their values."""
    while frame is not None:
        code = frame.f_code
        if _PACKAGE in code.co_filename:
            name = code.co_filename.rpartition(_PACKAGE)[2]
            if code.co_name == "<module>" or name.startswith(_SETTINGS):
                return True
        frame = frame.f_back
    return False


def _record(folder, command):
    name = f"{os.getpid()}-{time.time_ns()}"  # the number alone comes again
    file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{command}\n".encode())
    known = set()

    def called(frame, event, argument):
        code = frame.f_code
        if code in known:
            return
        path = code.co_filename
        is_function = code.co_flags & _OPTIMISED and code.co_name not in _INLINE
        if not is_function or _PACKAGE not in path:
            known.add(code)
        elif not _decides_nothing(frame):
            known.add(code)
            os.write(file, f"{path}\n".encode())  # at once: a job may be killed

    threading.settrace(called)
    sys.settrace(called)


if __name__ == "sitecustomize" and "RECORD" in os.environ:
    if sys.argv[0].endswith("/active-perception"):
        os.environ[_COMMAND] = json.dumps(sys.argv[1:])
    if _COMMAND in os.environ:
        _record(os.environ["RECORD"], os.environ[_COMMAND])
