"""The lists that say what decides a result are complete: of modules, and of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from active_perception_r1.config import Config, ModelConfig, SliceConfig, load_config, parse_config
from active_perception_r1.config.decisive import Decisive, among
from active_perception_r1.config.engines import ENGINES
from active_perception_r1.config.kept import keep, kept_path
from active_perception_r1.config.section import Section
from active_perception_r1.config.sources import SOURCES
from active_perception_r1.keys import stages
from active_perception_r1.keys.stages import (
    MECHANISM,
    ROOT,
    Stage,
    file_of,
    imported,
    is_any_of,
)
from active_perception_r1.storage.fingerprint import module_fingerprint
from tests.imports import entries_of
from tests.workflow import CONFIG

SECTIONS: dict[str, type[Section]] = {
    "models": ModelConfig,
    "slice": SliceConfig,
    **{f"source {name}": section for name, section in SOURCES.items()},
    **{f"engine {name}": section for name, section in ENGINES.items()},
}
STAGES = {name: stage for name, stage in vars(stages).items() if isinstance(stage, Stage)}


def keys_of(section: type[BaseModel], above: str = "") -> Iterator[str]:
    """Its keys and those of the sections in it, by their whole names."""
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if inner:
            yield from keys_of(inner[0], f"{above}{name}.")
        else:
            yield above + name


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_of_the_configuration_decides_or_does_not(name: str) -> None:
    section = SECTIONS[name]
    decisive = section.decisive
    assert decisive is not None
    lists = (decisive.keys, decisive.mechanism, decisive.otherwise, decisive.added)
    for key in keys_of(section):
        assert sum(among(key, listed) for listed in lists) == 1, f"{key}: in none of the lists"
    known = list(keys_of(section))
    for listed in (key for keys in lists for key in keys):
        assert any(among(key, [listed]) for key in known), f"{listed}: no such key"


def test_a_key_that_came_later_counts_where_it_is_used() -> None:
    decisive = Decisive(("seed",), mechanism=("gpus",), added={"top_k": 0})
    assert decisive.of({"seed": 1, "gpus": 2, "top_k": 0, "new": 3}) == {"seed": 1}
    assert decisive.of({"seed": 1, "gpus": 2, "top_k": 5}) == {"seed": 1, "top_k": 5}


# Modules: what they import.


# Of modes they ask only whether there is a tool, not how an episode begins.
STATIC = sorted(STAGES.keys() - {"LEADERBOARD", "DIAGNOSIS"})
REGISTRIES = {package for stage in STAGES.values() for package in stage.entries}
EMPTY = module_fingerprint(ROOT / "storage" / "__init__.py")


@pytest.mark.parametrize("name", STATIC)
def test_what_a_stage_imports_counts_or_is_mechanism(name: str) -> None:
    stage = STAGES[name]
    counted = set(stage.modules(entries_of(*stage.entries)))
    for module in counted:
        for other in imported(module):
            empty = module_fingerprint(file_of(other)) == EMPTY
            assert empty or other in counted or is_any_of(other, (*MECHANISM, *REGISTRIES)), (
                f"{module} imports {other}, which is not taken in by stage {name}; add it to the"
                " stage, or to MECHANISM if it decides no result"
            )


def test_every_mechanism_is_a_module() -> None:
    known = {
        path.relative_to(ROOT)
        .with_suffix("")
        .as_posix()
        .replace("/", ".")
        .removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
    }
    for pattern in MECHANISM:
        assert any(is_any_of(module, [pattern]) for module in known), pattern


# The configuration as jobs find it.


def test_the_kept_configuration_is_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIG)
    monkeypatch.chdir(tmp_path)
    keep(config)
    assert load_config(kept_path(config)) == config


def test_another_configuration_is_kept_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIG)
    other: Config = parse_config({**config.model_dump(mode="json"), "study": "docvqa"})
    monkeypatch.chdir(tmp_path)
    keep(config)
    keep(other)
    assert load_config(kept_path(config)).study == "demo"
    assert load_config(kept_path(other)).study == "docvqa"
