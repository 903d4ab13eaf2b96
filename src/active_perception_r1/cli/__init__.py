"""The command line: one subcommand for each stage of the pipeline, and some to use without it."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from active_perception_r1.cli import (
    benchmark,
    data,
    doctor,
    export,
    init,
    models,
    preflight,
    provenance,
    report,
    results,
    run,
)
from active_perception_r1.errors import UserError

# What a shell reports for a command that was ended with Ctrl-C, and for one whose reader has gone.
INTERRUPTED, UNREAD = 130, 141

# What helps when the system refuses a file for what is wrong outside the code.
_ROOM = "make room, then run again; what was finished is kept"
_ACCESS = "give access to it, or work in a copy, then run again"
_FOLDER = "a file is where a folder should be; move it away"
_CURES = {
    errno.EACCES: _ACCESS,
    errno.EDQUOT: _ROOM,
    errno.EEXIST: _FOLDER,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), then run again",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ENOENT: "it is not there, nor can it be made; check the path",
    errno.ENOSPC: _ROOM,
    errno.ENOTDIR: _FOLDER,
    errno.EPERM: _ACCESS,
    errno.EROFS: _ACCESS,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if it went well, 1 after a mistake that the user can mend."""
    # Threads that wait for work must not keep the cores from other jobs. Read when torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = _parser()
    command, others = parser.parse_known_args(arguments)
    if others and not hasattr(command, "passed_on"):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    command.passed_on = others
    try:
        command.run(command)
        sys.stdout.flush()
    except UserError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        from active_perception_r1.runtime.installation import DISTRIBUTION, extra_of

        extra = extra_of(error.name or "")
        if extra is None:
            raise
        message = f"{error.name} is not installed here; pip install '{DISTRIBUTION}[{extra}]'"
    except BrokenPipeError:
        # As of `| head`. Python would complain once more when it closes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as error:
        if error.errno not in _CURES:
            raise
        reason, cure = os.strerror(error.errno), _CURES[error.errno]
        message = f"{error.filename or 'a file'}: {reason}; {cure}"
    except KeyboardInterrupt:
        return INTERRUPTED
    else:
        return 0
    # Only now that what has failed is gone, and its progress bars with it: the message comes last.
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="active-perception",
        description="Does a vision-language model answer better when it can look closer?",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    parts = (
        *(init, run, data, models, results, report, provenance, benchmark, preflight, doctor),
        export,
    )
    for part in parts:
        part.add_commands(commands)
    return parser
