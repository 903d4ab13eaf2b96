"""What heavy pages cost beside the model: python benchmarks/overhead.py

    --repeats N       runs of each kind, in turn (default: 2)

Episodes of our driver, their pages read from a slice, against bare generation: the same batches by
plain `generate`, with all images at hand. Pages are JPEGs of 300 KB and of 8 MB, all different. The
model is the one that ships, in batches of 16 with 64 episodes under way, as for a large one; each
batch takes some seconds longer, in which the processor is free, as it is while an accelerator
computes. That an accelerator waits for nothing is what is measured here, on the two cores that
open the pages. Before the first batch it waits in any case, for the pages of that batch.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from inference import draw, plain_generate, record, timed
from measuring import Figure, ratios, report, spread
from PIL import Image
from settings import model_settings

from active_perception_r1.data.samples import read_slice, write_samples
from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.models.load import load_backend
from active_perception_r1.models.runner import BackendRunner
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Sample

EPISODES = 128
DISTINCT = 4  # Drawn anew; the others have a tail of their own, so that no page is known already.
KINDS = ((300, 1.0), (8_000, 4.0))  # Kilobytes of a page, seconds that a batch takes longer.
GRAIN = 12  # Of 255 tones: a page of 8 MB then is about one of A4 at 600 dpi.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2)
    repeats = parser.parse_args().repeats
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        samples = list(read_slice(draw(Path(name), EPISODES)))
        for kilobytes, pause in KINDS:
            slice_path = Path(name) / f"{kilobytes}.parquet"
            write_samples(slice_path, heavier(samples, kilobytes))
            spawn = multiprocessing.get_context("spawn")  # for the most memory of this kind alone
            with ProcessPoolExecutor(1, spawn) as process:
                task = process.submit(measure, slice_path, kilobytes, pause, repeats)
                figures += task.result()
            slice_path.unlink()
    report("overhead", figures)


def measure(slice_path: Path, kilobytes: int, pause: float, repeats: int) -> list[Figure]:
    settings = model_settings().model_copy(update={"batch_size": 16, "max_concurrent_episodes": 64})
    backend: Any = load_backend(settings)
    runner = BackendRunner("m", settings, ACTIVE, backend=backend)
    samples = list(read_slice(slice_path))
    everyone = [sample.id for sample in samples]
    batches, _ = record(backend, settings, samples)
    generate = backend.model.generate = Paused(backend.model.generate, pause)
    opening = timed(lambda: open_page(samples[0].image))
    page = open_page(samples[0].image)
    pixels = f"{page.width * page.height / 1e6:.1f} million pixels"

    def episodes() -> None:
        finished = list(runner.run(slice_path, everyone))
        assert len(finished) == EPISODES
        assert not any(episode.error for episode in finished)

    def bare() -> None:
        for batch in batches:
            plain_generate(backend, settings, batch)

    ours, theirs, before, memory = [], [], [], []
    for _ in range(repeats):
        theirs.append(timed(bare))
        forget_most_memory()
        generate.called.clear()
        start = time.perf_counter()
        ours.append(timed(episodes))
        before.append(generate.called[0] - start)
        memory.append(most_memory())
    title = f"pages of {kilobytes:,} KB"
    over = [100 * (a / b - 1) for a, b in zip(ours, theirs, strict=True)]
    later = [100 * ((a - c) / b - 1) for a, b, c in zip(ours, theirs, before, strict=True)]
    return [
        spread(f"{title}: time over bare generation, %", over, bar="<= 5"),
        spread(f"{title}: the same from the first batch on, %", later),
        ratios(f"{title}: speed over bare generation", theirs, ours, bar=">= .95"),
        spread(f"{title}: until the first batch, s", before),
        spread(f"{title}: episodes, s", ours, note=f"{EPISODES} episodes, {pause:g} s a batch"),
        spread(f"{title}: bare generation, s", theirs, note=f"{len(batches)} batches"),
        Figure(f"{title}: opening one page, s", opening, note=pixels),
        spread(f"{title}: most memory, model and libraries included, MB", memory),
    ]


class Paused:
    """A function that takes some seconds longer.

    Attributes:
        called: when, by the clock of `time.perf_counter`.
    """

    def __init__(self, run: Callable[..., Any], pause: float) -> None:
        self.called: list[float] = []
        self._run = run
        self._pause = pause

    def __call__(self, **inputs: Any) -> Any:
        self.called.append(time.perf_counter())
        time.sleep(self._pause)
        return self._run(**inputs)


def heavier(samples: Sequence[Sample], kilobytes: int) -> list[Sample]:
    """The same samples on pages of about this size."""
    pages = [larger(sample.image, kilobytes) for sample in samples[:DISTINCT]]
    return [
        replace(sample, image=pages[number % DISTINCT] + str(number).encode())
        for number, sample in enumerate(samples)
    ]


def larger(encoded: bytes, kilobytes: int) -> bytes:
    """A page enlarged, on paper with grain, as a JPEG of about this size."""
    page, scale = open_page(encoded), 1.0
    scan = scanned(page)
    for _ in range(2):  # A page needs fewer bytes a pixel as it grows.
        scale *= (1000 * kilobytes / len(scan)) ** 0.5
        scan = scanned(page.resize((round(page.width * scale), round(page.height * scale))))
    return scan


def scanned(page: Image.Image) -> bytes:
    shape = (page.height, page.width, 1)
    grain = np.random.default_rng(0).integers(-GRAIN, GRAIN + 1, shape, np.int16)
    pixels = (np.asarray(page) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", quality=85)
    return file.getvalue()


def forget_most_memory() -> None:
    """Have the kernel count from now on (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def most_memory() -> float:
    """MB of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
