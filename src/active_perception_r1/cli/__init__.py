"""The command line: one subcommand for each stage of the pipeline, and some to use without it."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from active_perception_r1.cli import benchmark, data, models, preflight, provenance, report, results
from active_perception_r1.errors import UserError

INTERRUPTED = 130  # What a shell reports for a command that was ended with Ctrl-C.

# What is wrong outside the code when the system refuses a file.
_REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if it went well, 1 after a mistake that the user can mend."""
    # Threads that wait for work must not keep the cores from other jobs. Read when torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = _parser().parse_args(arguments)
    try:
        command.run(command)
    except UserError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return _complain(f"{error.filename or 'a file'}: {error.strerror}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="active-perception",
        description="Does a vision-language model answer better when it can look closer?",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for part in (data, models, results, report, provenance, benchmark, preflight):
        part.add_commands(commands)
    return parser
