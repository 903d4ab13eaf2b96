"""Supervised training of the tiny VLM from scratch on a few CPU cores (see `curriculum`).

Every core is a process of its own that takes its part of each step's samples; gradients are
averaged once a step. Against threads inside every operation this is as fast on a quiet machine and
several times faster on a busy one, where each of a thousand thread barriers would wait for the
slowest. A run is decided by its settings and the number of processes alone, and resumes from its
last checkpoint as if it had not been interrupted.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy

from active_perception_r1.data.synthetic import LAYOUTS
from active_perception_r1.runtime.memory import keep_freed_memory
from recipes.tiny_zoom_vlm.architecture import build_model, packed_states, token_logits
from recipes.tiny_zoom_vlm.curriculum import BATCHES, Mix, Sampler
from recipes.tiny_zoom_vlm.optimiser import MixedOptimiser
from recipes.tiny_zoom_vlm.packing import Batch, Kind
from recipes.tiny_zoom_vlm.progress import Counts, Curriculum, describe, no_counts
from recipes.tiny_zoom_vlm.squares import Aim
from recipes.tiny_zoom_vlm.tokenizer import build_processor, build_tokenizer

logger = logging.getLogger(__name__)

_LOSS_WEIGHTS = {
    Kind.FORMAT: 0.2,
    Kind.CHOICE: 0.5,
    Kind.ZOOM: 1.0,
    Kind.PLACE: 1.0,
    Kind.NAME: 1.0,
    Kind.PRINT: 0.5,
    Kind.ANSWER: 2.0,
    Kind.GUESS: 0.5,
}
_NEAR = 5  # coordinate tokens are 0.01 apart: within one step of the 0.05 grid


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """All that decides a training run.

    The main part teaches everything with fair demonstrations of zooming; the closing part polishes
    reading at a low rate, and its zooms are wider; the last parts polish reading of tight crops, as
    the oracle shows them, and finding one's way in tables.

    Attributes:
        steps: optimiser steps of the main part.
        closing_steps: further steps at the end.
        last_steps: and still further ones, every other with tight crops.
        table_steps: and the very last ones, with twice as many tables.
        processes: processes of one core each; the rows of a mix are for each of them.
        decay_from: latest start of the learning rate's linear decay, as a share of `steps`; it
            starts sooner, `settle_steps` after all places are known.
        search_mix, settled_mix, closing_mix: rows per step before and after all places are known,
            and in the closing part: first mostly places, then mostly reading.
        aim, closing_aim: how the demonstrator misses.
        first_side, last_side: range of the reading curriculum (page units).
        episode_side: reading side from which whole episodes and tiles are trained, too.
    """

    steps: int = 1600
    closing_steps: int = 250
    last_steps: int = 80
    table_steps: int = 200
    seed: int = 0
    processes: int = 2
    muon_rate: float = 0.01
    adam_rate: float = 2e-3
    warmup_steps: int = 50
    decay_from: float = 0.5
    settle_steps: int = 100
    search_mix: Mix = Mix(crops=18, pages=12, episodes=3)
    settled_mix: Mix = Mix(crops=28, pages=8, episodes=4, tiles=1)
    closing_mix: Mix = Mix(crops=32, pages=8, episodes=4, tiles=1)
    aim: Aim = Aim(pull=0.05, error=0.06, sides=(0.15, 0.2))
    closing_aim: Aim = replace(aim, sides=(0.15, 0.2, 0.25))
    first_side: float = 0.08
    last_side: float = 0.25
    episode_side: float = 0.16
    log_every: int = 50
    save_every: int = 100

    @property
    def ends(self) -> tuple[int, int, int]:
        """Steps after which the closing part ends, that with tight crops, and that with tables."""
        closed = self.steps + self.closing_steps
        read = closed + self.last_steps
        return closed, read, read + self.table_steps


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a run took, for the model card."""

    steps: int
    conversations: int
    minutes: float
    parameters: int


def train(settings: TrainSettings, output_dir: Path) -> TrainReport:
    """Trains from scratch, or goes on from `output_dir/checkpoint.pt`.

    Leaves in `output_dir` a folder that the Auto classes load, the checkpoint, and `report.json`.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with _helpers(settings, output_dir):
        return _run(settings, output_dir, rank=0)


@contextmanager
def _helpers(settings: TrainSettings, output_dir: Path) -> Iterator[None]:
    """All processes but this one; they end with it, since the exchange of gradients then fails."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as meeting_place:
        store = Path(meeting_place) / "store"
        helpers = [
            context.Process(target=_help, args=(settings, output_dir, rank, store), daemon=True)
            for rank in range(1, settings.processes)
        ]
        for helper in helpers:
            helper.start()
        try:
            _join_group(settings, 0, store)
            yield
        finally:
            for helper in helpers:
                helper.kill()
                helper.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def _help(settings: TrainSettings, output_dir: Path, rank: int, store: Path) -> None:
    _join_group(settings, rank, store)
    _run(settings, output_dir, rank)


def _join_group(settings: TrainSettings, rank: int, store: Path) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=settings.processes,
        timeout=timedelta(minutes=5),
    )


def _run(settings: TrainSettings, output_dir: Path, rank: int) -> TrainReport:
    """One process's part; all hold the same weights at every step, only the first one writes."""
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    model.set_attn_implementation("eager")  # bfloat16 SDPA is slow on CPU
    optimiser = MixedOptimiser(model, settings.muon_rate, settings.adam_rate)
    curriculum = Curriculum(settings.first_side, settings.last_side)
    sampler = Sampler(tokenizer)
    checkpoint = output_dir / "checkpoint.pt"
    step, conversations, seconds = 0, 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        optimiser.load_state_dict(state["optimiser"])
        curriculum.load_state_dict(state["curriculum"])
        step, conversations, seconds = state["step"], state["conversations"], state["seconds"]
        logger.info("resumed at step %d", step)
    started, logged = time.monotonic() - seconds, no_counts()

    def save() -> None:
        state = {
            "optimiser": optimiser.state_dict(),
            "curriculum": curriculum.state_dict(),
            "step": step,
            "conversations": conversations,
            "seconds": time.monotonic() - started,
        }
        torch.save(state, checkpoint.with_suffix(".tmp"))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
        model.save_pretrained(output_dir)
        build_processor(tokenizer).save_pretrained(output_dir)

    closed, read, done = settings.ends
    while step < done:
        rng = random.Random(f"{settings.seed} {step} {rank}")
        difficulty, settled = curriculum.difficulty, curriculum.settled_at is not None
        closing = step >= settings.steps
        if step >= read:
            difficulty = replace(difficulty, turns=(0, 1, 2, 1))
        elif step >= closed:
            difficulty = replace(difficulty, tight=step % 2 == 1)
        mix = settings.settled_mix if settled else settings.search_mix
        mix = settings.closing_mix if closing else mix
        aim = settings.closing_aim if closing else settings.aim
        if difficulty.reading_side < settings.episode_side:
            mix = Mix(mix.crops, mix.pages)
        counts, asked = no_counts(), 0
        for name, batch in sampler.step(difficulty, mix, aim, rng).items():
            loss, counts[BATCHES.index(name)] = _loss(optimiser.working, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            asked += batch.conversations
        counts, asked = _exchange(optimiser, counts, asked)
        rate = learning_rate(settings, step, curriculum.settled_at)
        norm = optimiser.step(rate)
        step, conversations, logged = step + 1, conversations + asked, logged + counts
        curriculum.update(step, counts)
        if rank == 0 and step % settings.log_every == 0:
            logger.info(
                "step %d, %.2f s each, rate %.2f, norm %.1f, side %.2f, full %s, settled %s: %s",
                *(step, (time.monotonic() - started) / step, rate, norm, difficulty.reading_side),
                "/".join(f"{fullness:.2f}" for fullness in difficulty.fullness),
                *(curriculum.settled_at, describe(logged)),
            )
            logged = no_counts()
        if rank == 0 and step % settings.save_every == 0:
            save()
    if rank == 0:
        save()
    report = TrainReport(
        steps=step,
        conversations=conversations,
        minutes=round((time.monotonic() - started) / 60, 1),
        parameters=sum(p.numel() for p in model.parameters()),
    )
    if rank == 0:
        (output_dir / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def learning_rate(settings: TrainSettings, step: int, settled_at: int | None) -> float:
    """Factor of the learning rates: warm-up, plateau, linear decay to 3 %.

    It decays again from 20 % in the closing steps, and from 15 % in the last and in the very last.
    """
    closed, read, done = settings.ends
    for first, end, share in (
        (read, done, 0.15),
        (closed, read, 0.15),
        (settings.steps, closed, 0.2),
    ):
        if step >= first:
            return max(0.03, share * (1 - (step - first) / (end - first)))
    decay_start = round(settings.decay_from * settings.steps)
    if settled_at is not None:
        decay_start = min(decay_start, settled_at + settings.settle_steps)
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    if step < decay_start:
        return warm
    left = (settings.steps - step) / (settings.steps - decay_start)
    return warm * max(0.03, left)


def _exchange(optimiser: MixedOptimiser, counts: Counts, asked: int) -> tuple[Counts, int]:
    """Averages gradients over all processes, and sums the counts."""
    gradients = optimiser.gradients()
    dist.all_reduce(gradients)
    optimiser.set_gradients(gradients / dist.get_world_size())
    numbers = torch.from_numpy(np.append(counts.ravel(), asked))
    dist.all_reduce(numbers)
    return numbers[:-1].numpy().reshape(counts.shape), int(numbers[-1])


def _loss(model: Any, batch: Batch) -> tuple[Tensor, Counts]:
    """Sum over kinds of weight x mean loss, and counts (kinds, layouts, 2) of right tokens."""
    tokens, positions, segments, images = (
        torch.from_numpy(array)
        for array in (batch.tokens, batch.positions, batch.segments, batch.images)
    )
    states = packed_states(model, tokens, positions, segments, images)
    rows, columns = torch.from_numpy(batch.target_rows), torch.from_numpy(batch.target_columns)
    logits = token_logits(model, states[rows, columns - 1])
    wanted = tokens[rows, columns]
    losses = cross_entropy(logits, wanted, reduction="none")
    kinds = torch.from_numpy(batch.target_kinds)
    total = torch.zeros(())
    for kind, weight in _LOSS_WEIGHTS.items():
        if (kinds == kind).any():
            total = total + weight * losses[kinds == kind].mean()
    distance = (logits.detach().argmax(-1) - wanted).abs().numpy()
    on_grid = np.isin(batch.target_kinds, (Kind.PLACE, Kind.ZOOM))
    right = distance <= np.where(on_grid, _NEAR, 0)
    counts = np.zeros((len(Kind), len(LAYOUTS), 2))
    places = (batch.target_kinds, batch.target_layouts)
    np.add.at(counts[..., 0], places, right)
    np.add.at(counts[..., 1], places, 1)
    return total, counts
