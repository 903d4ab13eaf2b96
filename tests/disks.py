"""Disks for tests that need a full or a read-only one.

Root may write anywhere, so permissions would prove nothing: file systems are mounted, in a
namespace of their own that ends with the command.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.workflow import REPOSITORY, Workflow

NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def can_mount() -> bool:
    try:
        return (
            subprocess.run(
                [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
            ).returncode
            == 0
        )
    except FileNotFoundError:
        return False


needs_disks = pytest.mark.skipif(not can_mount(), reason="no file system may be mounted here")


def on_disk(
    mounted: str, command: list[str], workflow: Workflow, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder of a workflow, in a shell after `mounted`; output as `stdout`."""
    return subprocess.run(
        [*NAMESPACE, "sh", "-ec", f'{mounted}; exec "$@"', "sh", *command],
        cwd=workflow.folder,
        env={**workflow.environment(), "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
