"""What verl 0.9.1 needs in its workers, each of which imports this (`model.external_lib`).

- The vision tower is frozen. verl reads its own `actor.freeze_vision_tower` nowhere, and a trained
  tower would be at odds with the rollouts, since vLLM keeps the features of images it has seen.
- Position ids keep their shape where all rollouts of a step are equally long: torch then takes the
  axes of rotary positions for the ragged side.
"""

from __future__ import annotations

from typing import Any

from tensordict import TensorDict
from verl.utils.tensordict_utils import nested_tensor_from_tensor_list
from verl.workers import engine_workers
from verl.workers.engine import base
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from active_perception_r1.training.freezing import freeze_vision

_build = FSDPEngine._build_module
_mend_axis = base.maybe_fix_3d_position_ids


def _build_frozen(engine: Any) -> Any:
    module = _build(engine)
    freeze_vision(module)
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
base.maybe_fix_3d_position_ids = mend_position_ids
engine_workers.maybe_fix_3d_position_ids = mend_position_ids
