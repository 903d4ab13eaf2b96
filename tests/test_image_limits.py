"""What a family's image processor refuses is never sent to it, in any mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import transformers as hf
from PIL import Image

from active_perception_r1.config import CropConfig, FirstView, ModelConfig
from active_perception_r1.errors import DataError
from active_perception_r1.families import FAMILIES
from active_perception_r1.geometry import Box
from active_perception_r1.modes import (
    CALL_ONLY,
    MATCHED_VIEW,
    MODES,
    ORACLE,
    episode_rules,
    start_episode,
)
from active_perception_r1.records import Evidence, Sample
from tests.docvqa_files import png
from tests.scripted import make_sample, start, stop

BUDGET = 401_408
# As the processors of these families are configured where it matters to sizes.
PROCESSORS: Mapping[str, Any] = {
    "glm4v": hf.Glm4vImageProcessorPil(),
    "idefics3": hf.Idefics3ImageProcessorPil(max_image_size={"longest_edge": 512}),
    "qwen2_vl": hf.Qwen2VLImageProcessorPil(),
    "qwen2_5_vl": hf.Qwen2VLImageProcessorPil(),
    "qwen3_vl": hf.Qwen2VLImageProcessorPil(patch_size=16),
    "qwen3_5": hf.Qwen2VLImageProcessorPil(patch_size=16),
}
CALLS = (
    '<zoom_roi x0="0" y0="0" x1="1" y1="1"/>',
    '<zoom_roi x0="0.9" y0="0.9" x1="1" y1="1"/>',
    '<zoom_roi x0="0" y0="0" x1="0.01" y1="1"/>',
    '<zoom_roi x0="0" y0="0" x1="1" y1="0.01"/>',
)


def flat_page(width: int, height: int) -> Sample:
    evidence = (Evidence("answer", Box(0.4, 0.0, 0.6, 1.0)), Evidence("b", Box(0, 0.4, 1, 0.6)))
    return replace(make_sample(evidence=evidence), image=png(width, height, mode="RGB"))


def entry(family: str) -> ModelConfig:
    multiple = FAMILIES[family].multiple
    return ModelConfig(
        id=family,
        family=family,
        first_view=FirstView(max_pixels=BUDGET, multiple=multiple),
        crop=CropConfig(max_pixels=BUDGET, multiple=multiple, max_aspect=500.0),
        max_zooms=len(CALLS),
        max_turns=len(CALLS) + 1,
    )


def processed(family: str, image: Image.Image, budget: int = BUDGET) -> Any:
    processor = PROCESSORS[family]
    options = FAMILIES[family].image_options(processor, budget)
    return processor(images=[image], return_tensors="pt", **options)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", PROCESSORS)
@pytest.mark.parametrize("size", [(40, 5900), (5900, 40), (1, 200)])
def test_every_image_of_a_page_that_a_family_takes_is_one_that_it_takes(
    family: str, size: tuple[int, int], mode: str
) -> None:
    episode = start(mode, flat_page(*size), entry(family))
    if MODES[mode].tool:
        episode.receive(stop("".join(CALLS)))
    images = [image for message in episode.request for image in message.images]
    shows_crops = MODES[mode].tool and mode != CALL_ONLY
    assert len(images) == (1 + len(CALLS) if shows_crops else 1)
    for image in images:
        require_kept(family, image)


def require_kept(family: str, image: Image.Image, budget: int = BUDGET) -> None:
    """It is taken, and with the size that it has, where the processor says which it gave it."""
    inputs = processed(family, image, budget)
    if "image_grid_thw" in inputs:
        side = FAMILIES[family].multiple // 2
        ((_, height, width),) = inputs["image_grid_thw"].tolist()
        assert (width * side, height * side) == image.size


@pytest.mark.parametrize("family", PROCESSORS)
@pytest.mark.parametrize("size", [(40, 5900), (5900, 40), (600, 800)])
def test_a_view_as_large_as_all_crops_together_is_one_that_a_family_takes(
    family: str, size: tuple[int, int]
) -> None:
    model = entry(family)
    rules = episode_rules(MATCHED_VIEW, model)
    crops = [(side := FAMILIES[family].multiple * 10, side)] * len(CALLS)
    budget = model.showing(MATCHED_VIEW).first_view.max_pixels
    for image in start_episode(flat_page(*size), rules, earlier=crops).request[0].images:
        require_kept(family, image, budget)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].max_aspect])
@pytest.mark.parametrize("size", [(20, 5900), (5900, 20), (1, 201)])
def test_a_page_that_a_family_does_not_take_is_a_fault_of_the_data(
    family: str, size: tuple[int, int], mode: str
) -> None:
    wide, high = size
    with pytest.raises(DataError, match=f"image of {wide} x {high} pixels is flatter than 200:1"):
        start(mode, flat_page(*size), entry(family))


@pytest.mark.parametrize("family", ["glm4v", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_the_limit_is_that_of_the_processor(family: str) -> None:
    multiple = FAMILIES[family].multiple
    processed(family, Image.new("RGB", (multiple, 200 * multiple)))
    with pytest.raises(ValueError, match="aspect ratio must be smaller than 200"):
        processed(family, Image.new("RGB", (multiple, 201 * multiple)))


def test_the_oracle_is_shown_evidence_on_a_page_that_is_too_flat_as_a_whole() -> None:
    here = (Evidence("answer", Box(0.0, 0.5, 1.0, 0.51)),)
    sample = replace(flat_page(20, 5900), evidence=here)
    (image,) = start(ORACLE, sample, entry("qwen2_5_vl")).request[0].images
    assert processed("qwen2_5_vl", image)


def test_a_model_without_a_family_is_shown_every_page() -> None:
    model = entry("qwen2_vl").model_copy(update={"family": None})
    assert start("baseline", flat_page(20, 5900), model).request[0].images
