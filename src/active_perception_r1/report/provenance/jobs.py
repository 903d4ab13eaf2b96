"""How files were made, as Snakemake remembers it: the command of every job and the time it took.

Snakemake keeps one JSON file for each output below `.snakemake/metadata`, named by the output's
path in URL-safe base64 (record format 6, Snakemake 9). A longer name is cut into folders whose
names begin with `@`.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def read_jobs(records: Path, results: Path) -> list[dict[str, Any]]:
    """The jobs that wrote into `results`, in the order in which they began.

    `seconds` is wall time; of a job that was killed and resumed, that of its last attempt. Empty
    where Snakemake's memory is gone (`--drop-metadata`, a deleted `.snakemake`).
    """
    jobs: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(records.rglob("*")):
        made = _made(path, records) if path.is_file() else None
        record = _read(path) if made and made.is_relative_to(results) else None
        if made is None or record is None:
            continue
        job = jobs.setdefault(
            (record["rule"], record["shellcmd"] or ""),
            {
                "rule": record["rule"],
                "outputs": [],
                "started": record["starttime"],
                "ended": record["endtime"],
                "command": record["shellcmd"],
            },
        )
        job["outputs"].append(made.relative_to(results).as_posix())
        job["started"] = min(job["started"], record["starttime"])
        job["ended"] = max(job["ended"], record["endtime"])
    return [_described(job) for job in sorted(jobs.values(), key=lambda job: job["started"])]


def _made(path: Path, records: Path) -> Path | None:
    """The output that a record is about."""
    parts = [part.removeprefix("@") for part in path.relative_to(records).parts]
    try:
        return Path(base64.urlsafe_b64decode("".join(parts)).decode())
    except ValueError:
        return None


def _read(path: Path) -> dict[str, Any] | None:
    """A finished record; Snakemake does not write them atomically, so one may be torn."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return record if record.get("starttime") and record.get("endtime") else None


def _described(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "rule": job["rule"],
        "outputs": sorted(job["outputs"]),
        "started": datetime.fromtimestamp(job["started"], UTC).isoformat(timespec="seconds"),
        "seconds": round(max(0.0, job["ended"] - job["started"]), 1),
        "command": job["command"],
    }
