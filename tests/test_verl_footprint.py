"""What a run of verl will take is known before it starts, and refused where there is less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from active_perception_r1.config.engines.verl import PROFILES, VerlTraining
from active_perception_r1.errors import TrainingError
from active_perception_r1.training.verl_footprint import (
    GIB,
    HELD,
    Room,
    Shape,
    footprint,
    require_room,
    shape_of,
)
from tests.test_verl_launch import BASE, run_of

ROOM = Room(gpu=None, host=200 * GIB)


def qwen(folder: Path, width: int, inner: int, heads: tuple[int, int], layers: int) -> Shape:
    """Of Qwen2.5-VL, of the size of a published model."""
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    text = {
        "vocab_size": 151936 if width == 2048 else 152064,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "rope_parameters": rope,
    }
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
    hf.Qwen2_5_VLConfig(
        text_config=text,
        vision_config={**vision, "out_hidden_size": width},
        tie_word_embeddings=width == 2048,
    ).save_pretrained(folder)
    return shape_of(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    return qwen(tmp_path_factory.mktemp("3b"), 2048, 11008, (16, 2), 36)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    return qwen(tmp_path_factory.mktemp("7b"), 3584, 18944, (28, 4), 28)


def of(run: VerlTraining, shape: Shape, room: Room = ROOM) -> str:
    base = BASE.model_copy(update={"dtype": "bfloat16"})
    return require_room("mine", run, base, shape, room, flash=False)


def test_the_parameters_are_those_of_the_published_models(small: Shape, large: Shape) -> None:
    assert small.weights == 3_754_622_976
    assert small.language == 3_085_938_688
    assert large.weights == 8_292_166_656


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_fits_its_cards(profile: str, small: Shape) -> None:
    assert "computed for an update on a GPU of" in of(run_of(profile=profile), small)


@pytest.mark.parametrize(
    ("changes", "room", "cure"),
    [
        ({"micro_batch": 16}, ROOM, "set micro_batch: 4"),
        ({"micro_batch": 1, "max_response_tokens": 65536}, ROOM, "max_response_tokens: 3072"),
        ({}, Room(gpu=23 * GIB, host=None), "set lora_rank: 32, micro_batch: 1"),
        ({"rollout_memory": 0.1}, ROOM, "raise it, or tensor_parallel"),
        ({}, Room(gpu=None, host=32 * GIB), "train an adapter"),
        ({}, Room(gpu=2 * GIB, host=None), "take larger GPUs"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    changes: dict[str, Any], room: Room, cure: str, small: Shape
) -> None:
    with pytest.raises(TrainingError, match=f"training.mine: .*GiB.*{cure}"):
        of(run_of(**changes), small, room)


def test_a_whole_model_of_7_billion_needs_more_than_one_gpu(large: Shape) -> None:
    with pytest.raises(TrainingError, match="lora_rank: 32"):
        of(run_of(profile="1x80gb"), large)
    of(run_of(profile="1x80gb", lora_rank=32), large)
    of(run_of(profile="multi_node"), large)


def test_more_of_what_needs_memory_needs_more(small: Shape) -> None:
    def update(flash: bool = False, **changes: Any) -> int:
        base = BASE.model_copy(update={"dtype": "bfloat16"})
        return footprint(run_of(**changes), base, small, flash).update

    plain = update()
    assert update(micro_batch=8) > plain
    assert update(max_response_tokens=8192) > plain
    assert update(temperature=0.8) > plain
    assert update(gradient_checkpointing=False) > plain
    assert update(gpus_per_node=2) < plain
    assert update(lora_rank=32) < plain
    assert update(flash=True) < plain


def test_a_step_of_adamw_takes_what_a_gpu_measured(small: Shape) -> None:
    """Torch held 60.0 GiB at most on an H100, in a run with 538 tokens an episode."""
    base = BASE.model_copy(update={"dtype": "bfloat16"})
    run = run_of(max_prompt_tokens=515, max_response_tokens=23)
    held = footprint(run, base, small, flash=False).update - HELD
    assert held / GIB == pytest.approx(60.0, abs=0.1)
