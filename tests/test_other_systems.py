"""What differs where people do not have Linux."""

from __future__ import annotations

import os
import sys

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.keeper import RUN
from active_perception_r1.models.kept_model import can_be_kept


def test_models_are_loaded_by_each_job_where_forks_are_not_safe(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN, str(os.getpid()))
    assert can_be_kept(untrained_model)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not can_be_kept(untrained_model)
