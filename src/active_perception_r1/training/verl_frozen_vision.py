"""Freezes the vision tower of the model that verl trains; verl imports this in every worker.

verl 0.9.1 reads its own `actor.freeze_vision_tower` nowhere. A trained tower would also be at odds
with the rollouts, since vLLM keeps the features of images that it has seen.
"""

from __future__ import annotations

from typing import Any

from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from active_perception_r1.training.grpo import freeze_vision

_build = FSDPEngine._build_module


def _build_frozen(engine: Any) -> Any:
    module = _build(engine)
    freeze_vision(module)
    return module


FSDPEngine._build_module = _build_frozen
