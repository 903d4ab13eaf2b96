"""Subcommands that make a whole study by Snakemake, and watch it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from active_perception_r1.cli.arguments import Commands, add_command
from active_perception_r1.errors import UserError

if TYPE_CHECKING:
    from active_perception_r1.config import Config

SUFFIXES = (".yaml", ".yml", ".json")
_STUDY = (
    "study of this workflow, or a file of yours: relative paths in it, and results, are beside it"
)


def add_commands(commands: Commands) -> None:
    run = add_command(commands, "run", _run, "make a study: all that is not there yet")
    run.add_argument("study", nargs="?", metavar="STUDY | FILE.yaml", help=_STUDY)
    run.add_argument("--cores", default="all", help="for jobs to share (default: %(default)s)")
    run.add_argument(
        "-n", "--dry-run", action="store_true", help="only say what would run, and why"
    )
    run.add_argument(
        "--resources",
        nargs="+",
        default=[],
        metavar="NAME=N",
        help="such as gpu=2, for jobs to share",
    )
    run.add_argument("--profile", help="as Snakemake's")
    run.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        metavar="FILE",
        help="more, each over those before it",
    )
    run.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="over all files")
    run.epilog = "Targets and all other options of Snakemake may follow."
    run.set_defaults(passed_on=[])

    status = add_command(commands, "status", _status, "how far a study is, wherever it runs")
    status.add_argument("study", nargs="?", metavar="STUDY | FILE.yaml", help=_STUDY)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study is made, and from what.

    Attributes:
        workflow: folder of the Snakefile and of the configuration that belongs to it.
        folder: where `results` lies.
        files: of the configuration, over that of the workflow.
        config: what is over all files.
    """

    workflow: Path
    folder: Path
    files: tuple[Path, ...] = ()
    config: tuple[str, ...] = ()

    @property
    def own(self) -> Path:
        """The workflow's configuration."""
        return self.workflow / "workflow_config.yaml"

    def load(self) -> Config:
        """The configuration, for a process in `folder`.

        Raises:
            UserError: it is wrong.
        """
        from active_perception_r1.config.file import merged
        from active_perception_r1.config.kept import usable_config

        return usable_config(self.own, merged(self.files, self.config))


def place_of(
    study: str | None, configfiles: Sequence[str] = (), config: Sequence[str] = ()
) -> Place:
    """What the words of a command line mean.

    Raises:
        UserError: there is no such file, or no workflow whose study it is.
    """
    from active_perception_r1.runtime.installation import checkout, workflow_folder

    here = Path.cwd()
    given = all((here / name).is_file() for name in ("Snakefile", "workflow_config.yaml"))
    workflow = here if given else workflow_folder()
    files = tuple(map(_config_file, configfiles))
    if study and (Path(study).suffix in SUFFIXES or os.sep in study):
        file = _config_file(study)
        return Place(workflow, file.parent, (file, *files), tuple(config))
    if not (given or checkout()):
        raise UserError(
            f"{here}: no workflow is here; active-perception init DIR writes one, to run there"
        )
    return Place(workflow, workflow, files, (*([f"study={study}"] if study else []), *config))


def _config_file(name: str) -> Path:
    path = Path(name)
    if path.suffix not in SUFFIXES or (path.suffix == ".json" and "results" in path.parts):
        raise UserError(
            f"--configfile: '{name}' is no configuration file (.yaml); every word up to the next"
            " option is taken for one, so put targets before it"
        )
    if not path.is_file():
        raise UserError(f"{name}: there is no such file; give a configuration, or a study's name")
    return path.absolute()


def _run(command: argparse.Namespace) -> None:
    from snakemake.cli import main as snakemake

    from active_perception_r1.runtime.screen import INTERRUPTED

    place = place_of(command.study, command.configfile, command.config)
    with chdir(place.folder):
        config = place.load()

    def interrupt(number: int, frame: FrameType | None) -> None:
        INTERRUPTED.set()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        snakemake(_arguments(place, command))
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:  # before it runs jobs
        status = None
    finally:
        signal.signal(signal.SIGINT, before)
    if INTERRUPTED.is_set():
        print("interrupted; run again to go on", file=sys.stderr)
        raise KeyboardInterrupt
    if isinstance(status, str):
        raise UserError(status.removeprefix("error: "))
    if status:
        raise SystemExit(status)
    page = place.folder / "results" / config.study / "report" / "index.html"
    if page.exists() and not command.dry_run:
        print(os.path.relpath(page), file=sys.stderr)


def _arguments(place: Place, command: argparse.Namespace) -> list[str]:
    """Snakemake's command line."""
    words: list[Any] = ["--snakefile", place.workflow / "Snakefile", "--directory", place.folder]
    words += ["--cores", command.cores]
    options = {
        "--config": place.config,
        "--configfile": place.files,
        "--resources": command.resources,
        "--profile": [command.profile] if command.profile else [],
    }
    for option, values in options.items():
        words += [option, *values] if values else []
    words += ["--dry-run"] if command.dry_run else ["--logger", "active-perception"]
    return [*command.passed_on, *map(str, words)]


def _status(command: argparse.Namespace) -> None:
    from active_perception_r1.config.plan import StudyPlan
    from active_perception_r1.runtime.progress import study_lines

    place = place_of(command.study)
    with chdir(place.folder):
        config = place.load()
        for line in study_lines(StudyPlan(config, config.study)):
            print(line)
