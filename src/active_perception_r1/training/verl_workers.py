"""What verl 0.9.1 needs in its workers, each of which imports this (`model.external_lib`).

- The vision tower is frozen. verl reads its own `actor.freeze_vision_tower` nowhere, and a trained
  tower would be at odds with the rollouts, since vLLM keeps the features of images it has seen. It
  keeps nothing for a backward pass.
- An adapter is trained in float32, whatever the base is loaded in: verl casts it to bfloat16, in
  which steps of usual learning rates are lost.
- Distributions over the vocabulary are computed a few tokens at a time, where flash-attn does not
  bring its own way.
- Position ids keep their shape where all rollouts of a step are equally long: torch then takes the
  axes of rotary positions for the ragged side.
"""

from __future__ import annotations

from typing import Any

from tensordict import TensorDict
from verl.utils import torch_functional
from verl.utils.tensordict_utils import nested_tensor_from_tensor_list
from verl.workers import engine_workers
from verl.workers.engine import base
from verl.workers.engine.fsdp import transformer_impl
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from active_perception_r1.training import chunked_logits
from active_perception_r1.training.freezing import freeze_vision, look_without_gradient

_build = FSDPEngine._build_module
_build_adapter = FSDPEngine._build_lora_module
_mend_axis = base.maybe_fix_3d_position_ids


def _build_frozen(engine: Any) -> Any:
    module = _build(engine)
    freeze_vision(module)
    look_without_gradient(module)
    return module


def _build_exact_adapter(engine: Any, module: Any) -> Any:
    module = _build_adapter(engine, module)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return module


def mend_position_ids(data: TensorDict) -> None:
    """Make position ids (rows, axes, ragged length) again, whatever side torch took as ragged."""
    positions, tokens = data.get("position_ids"), data.get("input_ids")
    if positions is not None and positions.is_nested and positions.dim() == 3:
        values, total = positions.values(), len(tokens.values())
        if (values.shape[-1], positions.offsets()[-1]) != (total, total):
            # The rows lie one below the other, (rows * axes, length), not side by side.
            rows = values.unflatten(0, (len(data), -1)).unbind()
            data["position_ids"] = nested_tensor_from_tensor_list(list(rows), ragged_idx=2)
    _mend_axis(data)


FSDPEngine._build_module = _build_frozen
FSDPEngine._build_lora_module = _build_exact_adapter
if not torch_functional.FLAH_ATTN_CROSS_ENTROPY_LOSS_AVAILABLE:
    transformer_impl.logprobs_from_logits = chunked_logits.log_probs
    torch_functional.entropy_from_logits = chunked_logits.entropy
base.maybe_fix_3d_position_ids = mend_position_ids
engine_workers.maybe_fix_3d_position_ids = mend_position_ids
