"""How much memory a run of verl takes on each GPU and on each host, computed before it starts.

Of P weights of which T are trained (of the language model, or of an adapter), spread over all GPUs,
in bytes each d as kept and m = 2 as multiplied (4 in float32):

    weights    P d, and with an adapter T 4; d is 4 where the model is trained, m beside an adapter
    gradients  T 4
    moments    T 8, AdamW's; on a GPU only while a step is taken, if they are offloaded
    step       T 4, what AdamW holds besides while it is taken: the roots of all second moments
    gathered   m times the embeddings and the head, which FSDP puts together on every GPU
    layers     n tokens through L layers of widths h and i: L n h m for what is kept between them
               (recomputation), and one layer's inside; its attention forms no matrix of n x n
    logits     n tokens times the vocabulary: those of the model, verl's copy without padding, the
               gradients of both, and at a temperature other than 1 one more; with flash-attn, which
               needs no copy and writes the gradient over the logits, two

A step and layers do not meet, so the larger counts. What a layer keeps inside was counted in the
source of Qwen2.5-VL's: about 24 values of width h and 4 of width i for a token; with an adapter 6
and 1 more. On top comes what CUDA, NCCL and the sleeping vLLM hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.errors import TrainingError
from active_perception_r1.training.freezing import freeze_vision

GIB = 2**30
HELD = 2 * GIB
"""On a GPU by contexts, libraries and what vLLM does not give back."""
PROCESSES = 8 * GIB
"""On a host by Ray, vLLM, the workers and the pages in them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the memory of a run depends on in its model.

    Attributes:
        weights, language: parameters of all of it, and of the language model.
        adapter: parameters of an adapter of rank 1.
        ends: parameters of the embeddings and the head.
        layers, width, inner, words: of the language model.
    """

    weights: int
    language: int
    adapter: int
    ends: int
    layers: int
    width: int
    inner: int
    words: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a run.

    Attributes:
        update: on each GPU, at the height of an update.
        rollout: on each GPU, of what vLLM cannot do without.
        host: on each machine.
    """

    update: int
    rollout: int
    host: int


def shape_of(folder: Path) -> Shape:
    """Of a model, from its configuration; no weights are loaded."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    text = config.get_text_config()
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)  # type: ignore[no-untyped-call]
    model.tie_weights()
    ends = (model.get_input_embeddings().weight, model.get_output_embeddings().weight)
    language = sum(parameter.numel() for parameter in freeze_vision(model))
    return Shape(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        language=language,
        adapter=sum(layer.in_features + layer.out_features for layer in _adapted(model)),
        ends=sum({id(weight): weight.numel() for weight in ends}.values()),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        inner=text.intermediate_size,
        words=text.vocab_size,
    )


def footprint(run: VerlTraining, base: ModelConfig, shape: Shape, flash: bool) -> Footprint:
    """Of a run.

    Args:
        flash: flash-attn is installed.
    """
    hardware = run.hardware
    rank, gpus = hardware.lora_rank, hardware.gpus
    multiplied = 4 if base.dtype == "float32" else 2
    trained = rank * shape.adapter if rank else shape.language
    weights = shape.weights * (multiplied if rank else 4) + (4 * trained if rank else 0)
    tokens = hardware.micro_batch * run.tokens
    wide, inner = (30, 5) if rank else (24, 4)
    inside = wide * shape.width + inner * shape.inner
    keeps = 1 if run.gradient_checkpointing is not False else shape.layers
    copies = (2 if flash else 4) + (run.temperature != 1)
    passing = multiplied * (
        shape.ends
        + tokens * (shape.layers * shape.width + keeps * inside)
        + tokens * shape.words * copies
    )
    moments, step = 8 * trained // gpus, 4 * trained // gpus
    standing = (weights + 4 * trained) // gpus + (0 if hardware.offload else moments)
    reference = 2 * shape.weights if run.kl and not rank else 0
    asleep = multiplied * shape.weights if rank else 0  # vLLM's, beside an adapter
    waiting = (weights + 8 * trained) // hardware.nodes if hardware.offload else 0
    return Footprint(
        update=HELD + standing + max(passing, step + (moments if hardware.offload else 0)),
        rollout=HELD + multiplied * shape.weights // run.tensor_parallel,
        host=PROCESSES + waiting + (reference + asleep) // hardware.nodes,
    )


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that there are: on the smallest GPU, and on the host; None is unknown."""

    gpu: int | None
    host: int | None


def require_room(
    name: str, run: VerlTraining, base: ModelConfig, shape: Shape, room: Room, flash: bool
) -> str:
    """What the run takes and what there is, in one line.

    Raises:
        TrainingError: it is too much; with what would make it fit.
    """
    needed = footprint(run, base, shape, flash)
    has = room.gpu if room.gpu is not None else run.hardware.gpu_memory * GIB
    if needed.update > has:
        raise TrainingError(
            f"training.{name}: an update needs {_gib(needed.update)} on a GPU of {_gib(has)};"
            f" {_cure(run, base, shape, has, flash)}"
        )
    share = run.rollout_memory * has
    if needed.rollout > share:
        raise TrainingError(
            f"training.{name}: vLLM needs {_gib(needed.rollout)} for weights, and rollout_memory"
            f" ({run.rollout_memory}) of a GPU is {_gib(share)}; raise it, or tensor_parallel"
        )
    if room.host is not None and needed.host > room.host:
        raise TrainingError(
            f"training.{name}: {_gib(needed.host)} of host memory are needed, {_gib(room.host)} are"
            " free; train an adapter (lora_rank: 32), or take a larger machine"
        )
    return (
        f"{name}: {_gib(needed.update)} computed for an update on a GPU of {_gib(has)},"
        f" {_gib(needed.host)} on the host"
        + (f" of {_gib(room.host)} that are free" if room.host is not None else "")
    )


def _cure(run: VerlTraining, base: ModelConfig, shape: Shape, has: int, flash: bool) -> str:
    """Keys that make it fit, the least change first."""
    for changes in _changes(run):
        changed = run.model_copy(update=changes)
        if footprint(changed, base, shape, flash).update <= has:
            return "set " + ", ".join(f"{key}: {value}" for key, value in changes.items())
    return "take larger GPUs, more of them, or a smaller base"


def _changes(run: VerlTraining) -> Iterator[dict[str, int]]:
    hardware = run.hardware
    for rank in sorted({hardware.lora_rank, hardware.lora_rank or 32}):
        adapter = {} if rank == hardware.lora_rank else {"lora_rank": rank}
        size = hardware.micro_batch
        while size > 1:
            size //= 2
            yield {**adapter, "micro_batch": size}
        for tokens in (3072, 2048, 1024):
            if tokens < run.max_response_tokens:
                yield {**adapter, "micro_batch": 1, "max_response_tokens": tokens}


def _adapted(model: Any) -> Iterator[torch.nn.Linear]:
    """The layers that an adapter is put on: the linear ones of the language model but its head."""
    for module in model.get_decoder().modules():
        if isinstance(module, torch.nn.Linear):
            yield module


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
