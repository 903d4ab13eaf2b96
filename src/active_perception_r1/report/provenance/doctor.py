"""What somebody who is to mend a fault asks first: versions, hardware, configuration, errors.

Nothing of the environment is told, and the home folder is not named: keys of servers stand in
neither file that is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from active_perception_r1.config import load_config
from active_perception_r1.errors import UserError
from active_perception_r1.report.provenance.machine import hardware, packages, source_commit
from active_perception_r1.storage.fingerprint import fingerprint

PACKAGES = (
    *("active-perception-r1", "snakemake", "torch", "torchvision", "transformers", "accelerate"),
    *("peft", "vllm", "verl", "ray", "trl", "verifiers", "openai", "datasets", "pillow", "pandas"),
)
NEWEST_ERRORS = 5


def examination(config: Sequence[Path], logs: Path) -> str:
    """A Markdown list; a configuration that is wrong is told in its place.

    Args:
        config: files that are merged, as Snakemake's `--configfile` takes them.
        logs: folder of the jobs' logs, of which the newest errors are quoted.
    """
    installed = packages()
    lines = [
        *(f"{name}: {installed.get(name, 'not installed')}" for name in PACKAGES),
        *(f"{what}: {found}" for what, found in {**source_commit(), **hardware()}.items()),
        f"configuration: {_configuration(config)}",
        *_errors(logs),
    ]
    return "\n".join(f"- {line}" for line in lines).replace(str(Path.home()), "~")


def _configuration(files: Sequence[Path]) -> str:
    try:
        config = load_config(*files)
    except UserError as error:
        return f"error: {error}"
    return f"study {config.study}, {fingerprint(config.model_dump_json())}"


def _errors(logs: Path) -> Iterator[str]:
    """The last line of the newest logs that end with an error, newest first."""
    files = sorted(logs.rglob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    ends = ((path, _last_line(path)) for path in files)
    failed = ((path, line) for path, line in ends if line.startswith("error: "))
    for _, (path, line) in zip(range(NEWEST_ERRORS), failed, strict=False):
        yield f"{path}: {line}"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line), "")
