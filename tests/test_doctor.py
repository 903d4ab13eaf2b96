"""What a report of a fault tells, on machines as people have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from active_perception_r1.cli import main
from active_perception_r1.report.provenance import machine
from tests.workflow import CONFIG


def examined(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    assert main(["doctor", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_it_names_versions_hardware_and_the_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = examined(capsys, "--config", CONFIG, "--logs", tmp_path)
    names = [line.removeprefix("- ").partition(": ")[0] for line in lines]
    assert {"active-perception-r1", "torch", "vllm", "commit", "cores", "gpus"} <= set(names)
    assert lines[-1].startswith("- configuration: study demo, ")


def test_the_newest_errors_are_quoted_and_what_went_well_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for age in range(8):
        log = tmp_path / "demo" / f"{age}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"12 of 12\nerror: reason {age}\n" if age else "error: x\nthen it worked\n")
        os.utime(log, (1000 - age, 1000 - age))
    lines = examined(capsys, "--config", CONFIG, "--logs", tmp_path)
    told = [line.rpartition(": ")[2] for line in lines if ".log: error: " in line]
    assert told == [f"reason {age}" for age in range(1, 6)]


def test_a_wrong_configuration_is_told_and_neither_keys_nor_the_home_folder_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    (tmp_path / "mine.yaml").write_text("studdy: demo")
    lines = examined(capsys, "--config", tmp_path / "mine.yaml", "--logs", tmp_path)
    assert "studdy" in lines[-1]
    assert not any(text in line for line in lines for text in ("sk-secret", str(tmp_path)))


def test_machines_that_are_not_linux_are_described_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(machine, "CPUINFO", Path("/nowhere/cpuinfo"))
    found = machine.hardware()
    assert found["cores"] == os.cpu_count()
    assert found["cpu"]
    assert found["ram_gib"] > 0
