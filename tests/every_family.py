"""The transformers backend with a small model of every family, and what their tests share."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from PIL import Image

from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.models.backends.transformers import TransformersBackend
from tests.families import BUILDERS, build


def noise(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 80).convert("RGB")


@pytest.fixture(scope="module", params=["tiny", *BUILDERS])
def backend(
    request: pytest.FixtureRequest,
    untrained_model: ModelConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> TransformersBackend:
    if request.param == "tiny":
        return TransformersBackend(untrained_model)
    folder = tmp_path_factory.mktemp("stand-ins") / request.param
    return TransformersBackend(parse_section(ModelConfig, json.dumps(build(request.param, folder))))


def logits(backend: TransformersBackend, inputs: dict[str, Any]) -> torch.Tensor:
    """(new tokens, batch, vocabulary) of a short greedy reply."""
    output = backend.model.generate(
        **inputs,
        max_new_tokens=3,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return torch.stack(output.logits)
