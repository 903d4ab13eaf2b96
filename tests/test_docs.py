"""The commands in the documentation work: each block is run in a checkout with a finished demo.

A comment above a block changes what is done with it:

    <!-- long -->          its `snakemake` commands are only planned (`--dry-run`)
    <!-- needs: .. -->     it is parsed, and the options of `active-perception` are looked up
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from active_perception_r1.modes import MODES, episode_rules
from tests.scripted import MODEL
from tests.workflow import REPOSITORY, Workflow, copy_of_repository

DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
PROGRAMS = Path(sys.executable).parent
BLOCK = re.compile(r"(?:^<!-- (?P<note>[^>]*) -->\n)?^```sh\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    note: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["note"] or "", match["text"]) for match in found]


@pytest.fixture(scope="module")
def checkout(finished: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With results of a small study in the places of the demo's."""
    folder = copy_of_repository(tmp_path_factory.mktemp("docs"))
    (folder / "models").symlink_to(REPOSITORY / "models")
    for name in ("docs", "README.md"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    demo = folder / "results" / "demo"
    shutil.copytree(finished.folder / "results" / "small", demo)
    for path in sorted(demo.rglob("tiny*"), reverse=True):
        path.rename(path.with_name(path.name.replace("tiny", "tiny-zoom-vlm")))
    return folder


def run_block(block: Block, folder: Path, programs: Path) -> None:
    wrapper = folder / "bin" / "snakemake"
    wrapper.parent.mkdir(exist_ok=True)
    extra = "--dry-run" if block.note == "long" else "--cores 2"
    wrapper.write_text(f'#!/bin/sh\nexec {programs / "snakemake"} "$@" {extra}\n')
    wrapper.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join(
                [str(wrapper.parent), str(programs), str(PROGRAMS), os.environ["PATH"]]
            ),
            "PYTHONPATH": str(folder / "src"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def look_up(block: Block, programs: Path) -> None:
    subprocess.run(["bash", "-n", "-c", block.text], check=True)
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["active-perception"]:
            command = [programs / "active-perception", words[1], "--help"]
            source = {"PYTHONPATH": str(REPOSITORY / "src")}
            page = subprocess.run(
                command, env={**os.environ, **source}, capture_output=True, text=True, check=True
            ).stdout
            assert {word for word in words[2:] if word.startswith("--")} <= set(
                re.findall(r"--[\w-]+", page)
            )


@pytest.mark.slow
@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_one_after_the_other(
    page: Path, checkout: Path, programs: Path
) -> None:
    for block in blocks_of(page):
        if block.note.startswith("needs"):
            look_up(block, programs)
        else:
            assert block.note in ("", "long"), f"{block}: unknown note"
            run_block(block, checkout, programs)


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [page.name for page in DOCS if f"({page.name})" not in contents]
    assert missing == ["index.md"]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    for target in targets:
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("prompts", ["standard", "terse"])
@pytest.mark.parametrize("mode", MODES)
def test_the_protocol_has_every_prompt_as_it_is(mode: str, prompts: str) -> None:
    page = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
    model = MODEL.model_copy(update={"prompts": prompts, "max_zooms": 3, "max_turns": 4})
    told = episode_rules(mode, model).prompts
    lines = {
        line for text in (told.first, told.refused, told.later[2]) for line in text.split("\n")
    }
    duty = "You must look closer before you answer"
    for line in lines:
        known = line.removeprefix(duty) if line.startswith(duty) else line
        assert known in page, line
    assert duty in page
