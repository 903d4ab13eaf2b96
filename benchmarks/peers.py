"""The same work done by what a user would use instead: python benchmarks/peers.py

    generation   episodes against a loop of one-by-one `generate`, and against bare batches
    metrics      our ANLS and exact match against lmms-eval's own code
    training     a step of our GRPO engine against one of TRL's stock GRPOTrainer
    workflow     Snakemake against a shell that runs the same commands one after the other

Peers are installed into build/peers from benchmarks/peers.lock. Measurements of both sides are
taken in turns, where they can be, and compared turn by turn.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from core import noisy_answers
from measuring import Figure, ratios, report, seconds, spread
from settings import REPOSITORY, RUN, model_settings

from active_perception_r1.answers import exact_match
from active_perception_r1.config import ModelConfig, SliceConfig, SyntheticDataset
from active_perception_r1.data.samples import read_slice
from active_perception_r1.data.slices import sample_slice
from active_perception_r1.data.sources import download
from active_perception_r1.models.transformers_backend import TransformersBackend
from active_perception_r1.modes import episode_rules, start_episode
from active_perception_r1.records import Mode, Sample
from active_perception_r1.scoring.answer_metrics import anls_batch
from active_perception_r1.sim.live_reinjection import LiveEpisode, run_episodes
from active_perception_r1.sim.messages import Request
from active_perception_r1.training.grpo import GrpoTrainer

PEERS = REPOSITORY / "build" / "peers"
EPISODES = 128
ANSWERS = 20_000
TRAINING_STEPS = 6
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("generation", "metrics", "training", "workflow"))
    only = parser.parse_args().only
    install_peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = draw(folder)
        parts = {
            "generation": lambda: generation(list(read_slice(pages))),
            "metrics": lambda: metrics(folder),
            "training": lambda: training(pages),
            "workflow": lambda: workflow(folder / "workflow"),
        }
        for part, figures in parts.items():
            if only in (None, part):
                report(f"peers.{part}", figures())


def install_peers() -> None:
    """Into a folder of their own, once for each content of the lock."""
    lock = REPOSITORY / "benchmarks" / "peers.lock"
    stamp = PEERS / "installed.lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    subprocess.run([*pip, "--target", PEERS, "--requirement", lock], check=True)
    stamp.write_bytes(lock.read_bytes())


def beside_peers(*words: str | Path) -> str:
    """Standard output of a script that can import the peers."""
    path = os.pathsep.join([str(PEERS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def draw(folder: Path) -> Path:
    rows = folder / "test.parquet"
    download(SyntheticDataset(source="synthetic", questions={"test": EPISODES}), "test", rows)
    sample_slice(rows, SliceConfig(samples=EPISODES), folder / "slice.parquet")
    return folder / "slice.parquet"


def generation(samples: Sequence[Sample]) -> list[Figure]:
    """Active episodes a second, three ways, on the same model and pages."""
    backend = TransformersBackend(model_settings())
    rules = episode_rules(Mode.ACTIVE, backend.settings)

    def episodes(some: Sequence[Sample]) -> Iterator[LiveEpisode]:
        return (start_episode(sample, Mode.ACTIVE, rules) for sample in some)

    def play(some: Sequence[Sample], live: int, asked: list[list[Request]]) -> None:
        def generate(wave: Sequence[LiveEpisode]) -> Any:
            asked.append([episode.request for episode in wave])
            return backend.generate(asked[-1])

        for _ in run_episodes(episodes(some), generate, live):
            pass

    waves: list[list[Request]] = []
    play(samples, EPISODES, waves)  # warms up, and keeps what is asked for the bare batches
    few = samples[: EPISODES // 4]
    ours, single, bare = [], [], []
    for _ in range(REPEATS):
        ours.append(len(samples) / seconds(lambda: play(samples, EPISODES, [])))
        single.append(len(few) / seconds(lambda: play(few, 1, [])))
        bare.append(len(samples) / seconds(lambda: [backend.generate(wave) for wave in waves]))
    return [
        spread("active episodes/s", ours),
        spread("one-by-one generate, episodes/s", single),
        spread("bare batches of the same requests, episodes/s", bare, note="no parsing, no crops"),
        ratios("faster than one by one", ours, single, bar=">= 8"),
        ratios("bare batches over episodes, time", bare, ours, bar="<= 1.10"),
    ]


def metrics(folder: Path) -> list[Figure]:
    """Values and speed on the same answers."""
    given, truths = noisy_answers(ANSWERS)
    source, output = folder / "answers.json", folder / "scores.json"
    source.write_text(json.dumps({"given": given, "truths": truths}), encoding="utf-8")
    accepted = [[truth] for truth in truths]
    ours, ours_em, theirs, theirs_em = [], [], [], []
    for _ in range(REPEATS):
        beside_peers("benchmarks/peer_lmms.py", source, output)
        found = json.loads(output.read_text(encoding="utf-8"))
        theirs.append(found["anls_s"])
        theirs_em.append(found["em_s"])
        ours.append(seconds(lambda: anls_batch(given, accepted)))
        ours_em.append(seconds(lambda: list(map(exact_match, given, accepted))))
    similarity = anls_batch(given, accepted).lmms
    equal = list(map(exact_match, given, accepted))
    differ = sum(a != b for a, b in zip(equal, found["em"], strict=True))
    worst = float(np.abs(similarity - np.array(found["anls"])).max())
    return [
        spread(f"ANLS of {ANSWERS:,} answers, s", ours),
        spread("lmms-eval 0.7.3, s", theirs),
        ratios("ANLS, faster", theirs, ours, bar=">= 20"),
        Figure("ANLS, largest difference of any value", worst, bar="< 1e-9"),
        ratios("exact match, faster", theirs_em, ours_em),
        Figure("exact match, answers judged otherwise", differ, note="case, punctuation ignored"),
    ]


def training(pages: Path) -> list[Figure]:
    """Seconds of a step; the first one of each, which warms up, is left out.

    TRL plays first turns only. So does our engine where an episode may have only one turn.
    """
    ours = our_steps(pages, model_settings())
    first_turns = our_steps(pages, model_settings().model_copy(update={"max_turns": 1}))
    steps = str(TRAINING_STEPS)
    printed = beside_peers("benchmarks/peer_trl.py", "--slice", pages, "--steps", steps)
    theirs = json.loads(printed.splitlines()[-1])[1:]
    size, note = f"{RUN.prompts_per_step} x {RUN.samples_per_prompt}", "no crop is shown"
    return [
        spread(f"GRPO step of {size} two-turn episodes, s", ours),
        spread(f"GRPO step of {size} first turns only, s", first_turns, note=note),
        spread(f"TRL 1.16 GRPOTrainer, {size} first turns only, s", theirs, note=note),
        ratios("TRL over ours, first turns", theirs, first_turns),
        ratios("TRL's first turns over our two turns", theirs, ours),
    ]


def our_steps(pages: Path, settings: ModelConfig) -> list[float]:
    trainer = GrpoTrainer(RUN, settings, list(read_slice(pages)))
    return [trainer.step(step).seconds for step in range(1, TRAINING_STEPS + 1)][1:]


def workflow(folder: Path) -> list[Figure]:
    """A study of one model in three modes, from drawing pages to the diagnosis."""
    folder.mkdir()
    study = {
        "dataset": {"source": "synthetic", "questions": {"test": 24}},
        "slice": {"samples": 24},
        "models": [RUN.base],
        "modes": ["baseline", "active", "oracle"],
    }
    models = {RUN.base: json.loads(model_settings().model_dump_json(exclude_none=True))}
    config = {"study": "s", "studies": {"s": study}, "models": models}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    snakemake = ["snakemake", "--cores", "1", "--snakefile", str(REPOSITORY / "Snakefile")]
    snakemake += ["results/s/leaderboard.json", "results/s/diagnosis.json"]
    snakemake += ["--configfile", "config.json"]
    commands = shell_commands(snakemake, folder)
    pipeline, shell, again = [], [], []
    for turn in range(REPEATS):
        new, other = folder / f"a{turn}", folder / f"b{turn}"
        pipeline.append(seconds(partial(run_in, new, folder, snakemake)))
        again.append(seconds(partial(run_in, new, folder, snakemake)))
        shell.append(seconds(partial(run_in, other, folder, ["sh", "-c", commands])))
    overhead = [a - b for a, b in zip(pipeline, shell, strict=True)]
    return [
        spread("Snakemake, one core, s", pipeline),
        spread("shell, the same commands, s", shell),
        spread("overhead, s", overhead),
        ratios("overhead, Snakemake over shell", pipeline, shell),
        spread("run again with nothing to do, s", again, bar="<= 6", note="the shell redoes all"),
    ]


def shell_commands(snakemake: Sequence[str], folder: Path) -> str:
    """What Snakemake would run, in its order, stopping at the first failure."""
    plan = [*snakemake, "--dry-run", "--printshellcmds"]
    printed = subprocess.run(plan, cwd=folder, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^Shell command: (.*)$", printed, re.MULTILINE)
    jobs = re.findall(r"^total +(\d+)$", printed, re.MULTILINE)
    if not commands or {int(count) for count in jobs} != {len(commands)}:
        raise RuntimeError(f"{len(commands)} shell commands read for {jobs} jobs")
    logs = {Path(log).parent for log in re.findall(r"> (logs/\S+)", "\n".join(commands))}
    return "\n".join(["set -e", *(f"mkdir -p {log}" for log in sorted(logs)), *commands])


def run_in(where: Path, source: Path, command: Sequence[str]) -> None:
    where.mkdir(exist_ok=True)
    (where / "config.json").write_bytes((source / "config.json").read_bytes())
    subprocess.run(command, cwd=where, capture_output=True, check=True)


if __name__ == "__main__":
    main()
