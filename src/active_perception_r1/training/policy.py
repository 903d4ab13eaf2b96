"""A model in training: which of its weights move, in which precision, and what they started as.

Weights that are trained are kept in float32: a step of AdamW at a rate of 1e-6 is lost in the eight
bits of a bfloat16. Their products are computed in bfloat16 where that is fast. All others stay as
the model's entry has them.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from active_perception_r1.config import ModelConfig, TrainingConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.runtime.precision import fast_in_bfloat16
from active_perception_r1.training.freezing import (
    freeze_vision,
    lora_layers,
    lora_rank,
    recomputes,
)
from active_perception_r1.training.rollout import Sequences
from active_perception_r1.training.token_probabilities import policy_log_probs

ADAPTER_SCALE = 2
"""Of an adapter's product, as alpha / rank (Hu et al. 2021); verl is launched with the same."""


class Policy:
    """The model that learns, and the one that it is compared with.

    Attributes:
        engine: runs the model as it is at the time.
        trainable: the weights that are trained, by name.
    """

    def __init__(self, run: TrainingConfig, base: ModelConfig) -> None:
        self.engine = TransformersBackend(base.drawn_at(run.temperature))
        self._temperature = run.temperature
        self._halves = fast_in_bfloat16(self.engine.device)
        model = self.engine.model
        if self.engine.device.type == "cpu":  # fused attention in bfloat16 is slow there
            model.set_attn_implementation("eager")
        self._types = {name: value.dtype for name, value in model.named_parameters()}
        self._sparing = recomputes(run, model)
        self._adapted = (
            _with_adapter(model, rank, run.seed) if (rank := lora_rank(run, model)) else None
        )
        self._reference = None
        if self._adapted is None:
            if run.kl:
                self._reference = copy.deepcopy(model).requires_grad_(False)
            for parameter in freeze_vision(model):
                parameter.data = parameter.data.float()
        self._recomputed_layers = _prepared_layers(model) if self._sparing else []
        self.trainable: Mapping[str, torch.nn.Parameter] = {
            name: value for name, value in model.named_parameters() if value.requires_grad
        }

    @property
    def has_reference(self) -> bool:
        """Whether the starting model is at hand."""
        return self._reference is not None or self._adapted is not None

    def cheaper_products(self) -> torch.autocast:
        """Products in bfloat16 where that is faster.

        Not around a change of weights: what was cast before it would be used after it.
        """
        return torch.autocast(self.engine.device.type, torch.bfloat16, enabled=self._halves)

    def log_probs(self, batch: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """Of `policy_log_probs`, under the policy."""
        with self.cheaper_products(), self._recomputed():
            return policy_log_probs(self.engine, batch, self._temperature, sparing=self._sparing)

    def reference_log_probs(self, batch: Sequences) -> torch.Tensor:
        """(tokens,) log-probabilities under the starting model."""
        with torch.no_grad(), self.cheaper_products(), self._as_it_started() as model:
            return policy_log_probs(
                self.engine, batch, self._temperature, model, sparing=self._sparing
            )[0]

    def save(self, folder: Path) -> None:
        """Write a plain checkpoint, in the precision of the base; the policy is of no use after it.

        An adapter is merged into the weights.
        """
        if self._adapted is not None:
            self._adapted.merge_and_unload()
        for name, parameter in self.engine.model.named_parameters():
            parameter.data = parameter.data.to(self._types[name])
        self.engine.save(folder)

    @contextmanager
    def _as_it_started(self) -> Iterator[Any]:
        if self._adapted is None:
            yield self._reference
            return
        with self._adapted.disable_adapter():
            yield self.engine.model

    @contextmanager
    def _recomputed(self) -> Iterator[None]:
        """Layers forget their activations, if they are to.

        transformers has them do so in training only. The modules inside stay in evaluation: nothing
        is dropped out.
        """
        for layer in self._recomputed_layers:
            layer.training = True
        try:
            yield
        finally:
            for layer in self._recomputed_layers:
                layer.training = False


def _prepared_layers(model: Any) -> list[GradientCheckpointingLayer]:
    """Layers of the language model, which forget their activations while they are in training.

    transformers' own switch has the embeddings give out tensors with a gradient, those of the
    vision tower too: of a frozen tower, which no layer of it then forgets, all would be kept.
    """
    layers = [
        module
        for module in model.get_decoder().modules()
        if isinstance(module, GradientCheckpointingLayer)
    ]
    layer: Any
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = functools.partial(checkpoint, use_reentrant=False)
    return layers


def _with_adapter(model: torch.nn.Module, rank: int, seed: int) -> Any:
    """A `PeftModel` around `model`, whose language model's linear layers it gives an adapter.

    Raises:
        BackendError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BackendError(
            f"an adapter needs a package ({error}); pip install peft, or set lora_rank: 0"
        ) from None
    torch.manual_seed(seed)
    layers = list(lora_layers(model))
    settings = LoraConfig(r=rank, lora_alpha=ADAPTER_SCALE * rank, target_modules=layers)
    return get_peft_model(model, settings)
