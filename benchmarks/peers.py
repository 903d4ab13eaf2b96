"""The same work done by what a user would use instead: python benchmarks/peers.py

    generation   episodes against a loop of one-by-one `generate`, and against bare batches
    metrics      our answer metrics against lmms-eval's own code: values, reasons, speed
    training     a step of our GRPO engine against one of TRL's stock GRPOTrainer
    workflow     Snakemake against a shell that runs the same commands one after the other

Peers are installed into build/peers from benchmarks/peers.lock, once; that time is a figure of its
own. Both sides are measured in turns, and compared turn by turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import answers
import inference
from measuring import Clock, Figure, ratios, report, seconds, spread
from products import Products
from replies import replies
from settings import REPOSITORY, RUN, STILL, model_settings

from active_perception_r1.data.samples import read_slice, write_samples
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.training.grpo import GrpoTrainer

PEERS = REPOSITORY / "build" / "peers"
EPISODES = 128
REPLIES = 20_000
TRAINING_STEPS = 11
REPEATS = 3
KEPT = Path("results") / ".config"  # what the commands of jobs read, written by Snakemake


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("generation", "metrics", "training", "workflow"))
    only = parser.parse_args().only
    install_peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slice_path = inference.draw(folder, EPISODES)
        parts = {
            "generation": lambda: generation(slice_path),
            "metrics": lambda: metrics(folder / "replies.json"),
            "training": lambda: training(slice_path, folder / "questions.parquet"),
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
    command = [*pip, "--target", PEERS, "--requirement", lock]
    took = seconds(lambda: subprocess.run(command, check=True))
    stamp.write_bytes(lock.read_bytes())
    report("peers.install", [Figure("pip install of the peers, once, s", took)])


class Peer:
    """A script that can import the peers, in a process of its own, which works when asked to.

    It answers each line on its standard input with a line of JSON.
    """

    def __init__(self, *words: str | Path) -> None:
        path = os.pathsep.join([str(PEERS), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()


def generation(slice_path: Path) -> list[Figure]:
    """Active episodes a second, four ways, on the same model and pages."""
    return inference.as_figures(inference.compare(model_settings(), slice_path, REPEATS))


def metrics(source: Path) -> list[Figure]:
    """Values and speed on the same replies."""
    rows = replies(REPLIES)
    asked = [
        {
            "text": reply.text,
            "answers": reply.question.answers,
            "options": reply.question.options,
        }
        for reply in rows
    ]
    source.write_text(json.dumps(asked), encoding="utf-8")
    with Peer("benchmarks/peer_lmms.py", source) as lmms_eval:
        return answers.compare(rows, lmms_eval.turn, REPEATS)


class EveryGroupTeaches(GrpoTrainer):
    """Rewards are computed and then drawn at random, here as in peer_trl.py.

    Where all rewards of a group are equal, our engine does not train on it, while TRL does; so that
    both have the same to do in every step, no group is such.
    """

    def _with_bonus(
        self, asked: Sequence[Sample], rewards: Sequence[Reward], step: int
    ) -> list[Reward]:
        paid = super()._with_bonus(asked, rewards, step)
        return [replace(reward, reward=random.random()) for reward in paid]


def training(slice_path: Path, questions: Path) -> list[Figure]:
    """A step of two-turn episodes, by both; the first one, which warms up, is left out."""
    samples = list(read_slice(slice_path))
    trainer = EveryGroupTeaches(STILL, model_settings(), samples)
    steps = range(1, TRAINING_STEPS + 1)
    write_samples(questions, (asked.sample for step in steps for asked in trainer.questions(step)))
    ours, theirs = [], []
    script = ["benchmarks/peer_trl.py", "--slice", questions, "--steps", str(TRAINING_STEPS)]
    with Peer(*script) as trl:
        for step in steps:
            theirs.append(trl.turn())
            clock = Clock()
            trainer.step(step)
            ours.append(clock.read())
    our_wall, our_cpu = zip(*ours[1:], strict=True)
    their_wall, their_cpu = zip(*theirs[1:], strict=True)
    with Products() as products:
        trainer.step(TRAINING_STEPS + 1)
    floor = products.seconds()
    size = f"{RUN.prompts_per_step} x {RUN.samples_per_prompt} two-turn episodes"
    return [
        ratios("TRL over ours", their_wall, our_wall),
        ratios("TRL over ours, processor time", their_cpu, our_cpu),
        ratios("our step over its products of matrices", our_wall, [floor] * len(our_wall)),
        spread(f"TRL 1.16 GRPOTrainer, {size}, s", their_wall),
        spread(f"our step, the same {size}, s", our_wall),
        Figure("products of matrices of our step, each timed alone, s", floor),
        Figure("their rate, GFLOP/s", products.operations / floor / 1e9),
        spread("TRL 1.16 GRPOTrainer, processor time, s", their_cpu),
        spread("our step, processor time, s", our_cpu),
    ]


def workflow(folder: Path) -> list[Figure]:
    """A study of one model in two modes, from drawing pages to the diagnosis."""
    folder.mkdir()
    study = {
        "dataset": {"source": "synthetic", "questions": {"test": 24}},
        "slice": {"samples": 24},
        "models": [RUN.base],
        "modes": ["baseline", "active"],
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
        shutil.copytree(new / KEPT, other / KEPT)
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
