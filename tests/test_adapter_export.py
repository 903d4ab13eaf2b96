"""An adapter as verl's merger leaves it beside the base, merged into a plain checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText

from active_perception_r1.errors import TrainingError
from active_perception_r1.training.verl_export import merge_adapter
from tests.families import build

RANK = 2
LAYER = "model.language_model.layers.0.mlp.gate_proj"


def weights(folder: Path) -> dict[str, Any]:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    found: dict[str, Any] = model.state_dict()
    return found


def write_adapter(folder: Path, layer: str, shape: tuple[int, int]) -> torch.Tensor:
    """Of one layer; by its last name, which some of the vision tower have, too. Its product."""
    folder.mkdir()
    torch.manual_seed(0)
    down, up = torch.randn(RANK, shape[1]), torch.randn(shape[0], RANK)
    name = f"base_model.model.{layer}"
    parts = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(parts, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "task_type": "CAUSAL_LM"}
    settings |= {"target_modules": [layer.rpartition(".")[2]], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return 2 * up @ down


def test_its_product_is_added_where_it_was_trained_and_nowhere_else(tmp_path: Path) -> None:
    build("qwen2_5_vl", tmp_path / "model")
    before = weights(tmp_path / "model")
    adapter = tmp_path / "model" / "lora_adapter"
    added = write_adapter(adapter, LAYER, tuple(before[f"{LAYER}.weight"].shape))
    merge_adapter(adapter, tmp_path / "model")
    after = weights(tmp_path / "model")
    assert not adapter.exists()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {f"{LAYER}.weight"}
    torch.testing.assert_close(after[f"{LAYER}.weight"] - before[f"{LAYER}.weight"], added)


def test_an_adapter_of_another_model_is_not_lost_without_a_word(tmp_path: Path) -> None:
    build("qwen2_5_vl", tmp_path / "model")
    before = weights(tmp_path / "model")[f"{LAYER}.weight"]
    adapter = tmp_path / "model" / "lora_adapter"
    write_adapter(adapter, LAYER.replace("layers.0", "layers.7"), tuple(before.shape))
    with pytest.raises(TrainingError, match=r"2 weights have no place, such as .*layers\.7\."):
        merge_adapter(adapter, tmp_path / "model")
