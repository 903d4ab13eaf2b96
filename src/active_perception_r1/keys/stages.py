"""Which modules decide the result of each stage.

The fingerprint of a stage's code is taken over the modules that are listed for it and over no
others, so that an edit elsewhere keeps what is finished. `tests/test_keys.py` follows the imports
of a stage's modules, and fails for one that is neither counted nor named as mechanism.

Versions of other packages do not count: an environment that Snakemake makes (`--sdm conda`) is
compared by its pins, and in one made by hand an upgrade should not cost days of inference.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import active_perception_r1
from active_perception_r1.storage.fingerprint import fingerprint, read_code

PACKAGE = active_perception_r1.__name__
ROOT = Path(active_perception_r1.__file__).parent

# Names of modules are those inside the package; `*` stands for anything.
MECHANISM = (
    "benchmark",
    "cli*",
    "config*",  # what was configured counts by its value
    "errors",
    "keys*",
    "models.backends",
    "models.backends._backend",
    "models.backends._vllm_plugin",  # whether vLLM starts, not what it writes
    "models.backends.openai",  # what is sent and received is beside it
    "models.infer",
    "models.join",
    "models.keeper",
    "models.kept_model",
    "models.load",
    "models.remote_runner",
    "models.runner_processes",
    "prompts*",  # every text that they give counts by its value: see `modes.decisive_rules`
    "registry",
    "report.provenance.keys",
    "runtime.gpu",
    "runtime.lease",
    "runtime.memory",
    "runtime.processes",
    "runtime.stack",
    "runtime.workers",
    "sim.driver",
    "sim.prefetch",
    "storage*",
    "training.checkpoints",
    "training.engines*",
    "training.footprint",
    "training.local",
    "training.micro_batch",
    "training.model_card",
    "training.tensorboard",
    "variants",
)
"""How and where things are done, and how they are kept and told: none of it decides a result."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The code of one stage.

    Of the modules that it takes in, those count that are no mechanism. Entries of registries are
    found by name, not imported: those that a job uses are given for the job.

    Attributes:
        begins: modules from which it goes out.
        takes_in: patterns of modules that belong to it if another one of it imports them.
        entries: packages of the registries of which it uses some.
    """

    begins: tuple[str, ...]
    takes_in: tuple[str, ...]
    entries: tuple[str, ...] = ()

    def modules(self, used: Iterable[str] = ()) -> tuple[str, ...]:
        """Names of the modules that count, sorted.

        Args:
            used: modules of the registries' entries that the job uses.

        Raises:
            ModuleNotFoundError: a listed module is not there.
        """
        return _modules(self, frozenset(used))


# Snakemake asks for every job.
@functools.cache
def _modules(stage: Stage, used: frozenset[str]) -> tuple[str, ...]:
    found: set[str] = set()
    waiting = [*stage.begins, *used]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += (
                other
                for other in imported(name)
                if is_any_of(other, stage.takes_in) or _is_helper(other, name)
            )
    return tuple(sorted(name for name in found if not is_any_of(name, MECHANISM)))


@functools.cache
def code_of(modules: tuple[str, ...]) -> str:
    """Fingerprint of modules."""
    return fingerprint(*(f"{name} {read_code(file_of(name)).fingerprint}" for name in modules))


def forget() -> None:
    """Read files again that may have changed."""
    for known in (_modules, code_of, imported):
        known.cache_clear()


def is_any_of(module: str, patterns: Collection[str]) -> bool:
    """Whether one of the patterns names the module."""
    return any(fnmatchcase(module, pattern) for pattern in patterns)


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Modules of the package that a module imports itself, wherever in its text.

    One whose whole name is in a text counts as well: it is handed on to be imported elsewhere.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    code = read_code(file_of(module))
    named = (name for text in code.named for name in (text, text.rpartition(".")[0]))
    named_modules = (name for name in _inside(named) if file_of(name).name != "__init__.py")
    return frozenset((*_inside(code.imports), *named_modules))


def _inside(names: Iterable[str]) -> Iterator[str]:
    """Those that are modules of the package, by their names inside it."""
    start = f"{PACKAGE}."
    shortened = (name.removeprefix(start) for name in names if name.startswith(start))
    return (name for name in shortened if _find(name))


def file_of(module: str) -> Path:
    """The file of a module.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    if path := _find(module):
        return path
    raise ModuleNotFoundError(f"no module {module} in {ROOT}")


def _find(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _is_helper(module: str, of: str) -> bool:
    """What the entries of a registry share is in modules that begin with an underscore."""
    folder, _, name = module.rpartition(".")
    return name.startswith("_") and folder == of.rpartition(".")[0]


_RECORDS = ("columns", "data.*", "geometry", "records")
_EPISODES = (
    *(*_RECORDS, "envs.*", "families", "families._family", "modes", "modes._*", "sim.*"),
    "utils.trace_parser",
)
_SCORES = (
    *(*_RECORDS, "modes", "modes._mode", "rewards.*", "scoring.*", "tasks.*"),
    "utils.trace_parser",
)
_OF_EPISODES = ("families", "modes", "tasks", "utils.syntaxes")

DOWNLOAD = Stage(
    begins=("data.download",),
    takes_in=(*_RECORDS, "envs.*"),
    entries=("data.formats", "data.sources"),
)
DRAW = Stage(
    begins=("data.slices",),
    takes_in=(*_RECORDS, "envs.*", "rewards.*"),
    entries=("data.needs",),
)
INFER = Stage(
    begins=("models.infer",),
    takes_in=(*_EPISODES, "models.*"),
    entries=(*_OF_EPISODES, "models.backends"),
)
TRAIN = Stage(
    begins=(),
    takes_in=(
        *(*_EPISODES, "models.*", "rewards.*", "rollout.*", "training.*"),
        "runtime.precision",
    ),
    entries=(*_OF_EPISODES, "training.engines"),
)
SCORE = Stage(
    begins=("scoring.score",), takes_in=(*_SCORES, "envs.*"), entries=("scoring.metrics", "tasks")
)
LEADERBOARD = Stage(
    begins=("scoring.leaderboard",), takes_in=_SCORES, entries=("modes", "scoring.metrics")
)
DIAGNOSIS = Stage(begins=("scoring.diagnosis",), takes_in=_SCORES, entries=("modes",))
FIGURE = Stage(
    begins=(),
    takes_in=(*_EPISODES, "report.*", "rewards.*", "scoring.*", "tasks.*"),
    entries=(*_OF_EPISODES, "report.figures"),
)
GALLERY = Stage(
    begins=(*("report.gallery.evaluation", "report.gallery.folder", "report.gallery.training"),),
    takes_in=(
        *_EPISODES,
        "report",
        "report.answers",
        "report.conversations",
        "report.gallery.*",
        "rewards.*",
        "scoring.*",
        "tasks.*",
    ),
    entries=_OF_EPISODES,
)
PAGE = Stage(
    begins=("report.page.page",),
    takes_in=(*_EPISODES, "report", "report.*", "rewards.*", "scoring.*", "tasks.*"),
    entries=("modes", "report.figures", "scoring.metrics"),
)
MANIFEST = Stage(
    begins=("report.provenance.manifest",),
    takes_in=("report.gallery.names", "report.provenance.*", "runtime.installation"),
)
RECIPE = Stage(begins=("data.synthetic", "runtime.precision"), takes_in=(*_RECORDS, "envs.*"))
"""What the recipe of the shipped model uses of the package."""
