"""Every key that we give verl is one that verl 0.9.1 has."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from active_perception_r1.training.verl_launch import command
from tests.test_verl_launch import KEYS, PROFILES, dry_overrides


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=overrides)


@pytest.mark.parametrize("profile", PROFILES)
def test_verl_takes_every_override(profile: str) -> None:
    settings = dry_overrides(profile=profile, tensorboard=True)
    config = composed(command(settings)[3:])
    for key, value in settings.items():
        assert OmegaConf.select(config, key.removeprefix("+")) == value, key


def test_verl_refuses_a_key_it_does_not_have() -> None:
    with pytest.raises(ConfigCompositionException):
        composed(["actor_rollout_ref.rollout.load_fromat=auto"])


def test_the_list_of_keys_that_the_ordinary_tests_use_is_verls() -> None:
    assert version("verl") == "0.9.1"
    assert KEYS.read_text().splitlines() == keys(composed([]))


def keys(config: DictConfig) -> list[str]:
    """Dotted names of everything in a configuration, sections included."""

    def below(node: object, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        return [
            name
            for key, value in node.items()
            for name in (f"{path}{key}", *below(value, f"{path}{key}."))
        ]

    return sorted(below(OmegaConf.to_container(config, resolve=False), ""))


if __name__ == "__main__":  # how the list was made
    Path(KEYS).write_text("\n".join(keys(composed([]))) + "\n")
