"""A served model, interrupted at any moment: what it has replied is never asked for again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai._base_client
import pytest

from active_perception_r1.config import (
    CropConfig,
    DecodingConfig,
    FirstView,
    ModelConfig,
    OpenAIConfig,
)
from active_perception_r1.data.samples import write_samples
from active_perception_r1.models.backends.openai import OpenAIBackend
from active_perception_r1.models.infer import infer
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.sim.messages import Message
from active_perception_r1.storage.journal import replies_file
from tests.misbehaving_server import MODEL, MisbehavingServer, misbehaving_server
from tests.scripted import ZOOM, make_sample
from tests.workflow import REPOSITORY

EPISODES, CONCURRENCY = 12, 4
REQUESTS = 2 * EPISODES  # Every episode zooms once, then answers.
INTERRUPTIONS, KILLS = 200, 5
REPLY_SECONDS = 0.004


def zoom_then_answer(body: dict[str, Any]) -> str:
    return ZOOM if len(body["messages"]) == 1 else "<answer>42</answer>"


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        server.answer = zoom_then_answer
        server.work_seconds = REPLY_SECONDS
        yield server


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    path = tmp_path / "slice.parquet"
    write_samples(path, [make_sample(i) for i in range(EPISODES)])
    return path


def entry(server: MisbehavingServer, **options: Any) -> ModelConfig:
    client = {"base_url": server.url, "concurrency": CONCURRENCY, "retries": 2, **options}
    return ModelConfig(
        id=MODEL,
        backend="openai",
        gpus=0,
        openai=OpenAIConfig.model_validate(client),
        first_view=FirstView(max_pixels=10_000),
        crop=CropConfig(max_pixels=10_000),
    )


def run(slice_path: Path, settings: ModelConfig, name: str = "out") -> list[Episode]:
    folder = slice_path.parent
    output = folder / f"{name}.jsonl"
    infer(slice_path, "served", settings, ACTIVE, output, folder / f"{name}.partial")
    return [Episode.from_json(line) for line in output.read_text().splitlines()]


def asked(server: MisbehavingServer) -> Counter[str]:
    """How often each conversation was sent."""
    return Counter(json.dumps(body["messages"]) for _, _, body in server.received)


def repeated(server: MisbehavingServer) -> int:
    return len(server.received) - len(asked(server))


def timeless(episodes: list[Episode]) -> list[Episode]:
    return [replace(e, turns=tuple(replace(t, seconds=0) for t in e.turns)) for e in episodes]


@contextmanager
def ctrl_c(seconds: float) -> Iterator[None]:
    """The signal comes after so long, unless the block has ended by then.

    Also where this process was told to ignore it, as shells tell what they run in the background.
    """
    main = threading.main_thread().ident
    assert main is not None
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, inherited)


@pytest.mark.slow
def test_nothing_is_asked_for_twice_however_often_a_run_is_interrupted(
    server: MisbehavingServer, slice_path: Path
) -> None:
    few, settings = EPISODES // 2, entry(server)
    write_samples(slice_path, [make_sample(i) for i in range(few)])
    undisturbed = timeless(run(slice_path, settings, "first"))  # with all that it imports
    start = time.monotonic()
    run(slice_path, settings, "again")
    usual = time.monotonic() - start
    chance, interruptions, studies = random.Random(20261126), 0, 0
    while interruptions < INTERRUPTIONS:
        studies += 1
        server.received.clear()
        episodes: list[Episode] = []
        while not episodes:
            try:
                with ctrl_c(chance.uniform(0, usual)):
                    episodes = run(slice_path, settings, f"cut-{studies}")
            except KeyboardInterrupt:
                interruptions += 1
        assert timeless(episodes) == undisturbed
        assert (repeated(server), len(server.received)) == (0, 2 * few)
    assert studies > 5


def command(
    slice_path: Path, settings: ModelConfig, program: Sequence[str | Path]
) -> subprocess.Popen[str]:
    folder = slice_path.parent
    study = {"dataset": {"source": "synthetic"}, "models": ["served"], "modes": [ACTIVE]}
    config = {"study": "s", "studies": {"s": study}, "models": {"served": settings.model_dump()}}
    (folder / "config.yaml").write_text(json.dumps(config))
    arguments = ["--config", folder / "config.yaml", "--study", "s", "--model", "served"]
    arguments += ["--mode", ACTIVE, "--slice", slice_path]
    arguments += ["--output", folder / "out.jsonl", "--partial", folder / "out.partial"]
    source = {"PYTHONPATH": str(REPOSITORY / "src")}
    return subprocess.Popen(
        [*program, "infer", *arguments],
        env={**os.environ, **source},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_command_loses_nothing_to_ctrl_c_and_little_to_a_kill(
    server: MisbehavingServer, slice_path: Path, programs: Path, end: signal.Signals
) -> None:
    # A fork is killed with its program, but gets no other signal that is sent to it.
    alone = [sys.executable, "-m", "active_perception_r1.cli"]
    program = alone if end is signal.SIGINT else [programs / "active-perception"]
    server.work_seconds = 0.1
    chance = random.Random(7)
    for _ in range(KILLS):
        wanted = len(server.received) + chance.randrange(1, REQUESTS // (KILLS + 1))
        with command(slice_path, entry(server), program) as process:
            while len(server.received) < wanted:
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(end)
            told = process.communicate()[1]
        if end is signal.SIGINT:
            assert process.returncode == 130
            assert "Traceback" not in told
    with command(slice_path, entry(server), program) as process:
        assert process.wait() == 0
    lost = 0 if end is signal.SIGINT else KILLS * CONCURRENCY
    assert repeated(server) <= lost
    assert len(asked(server)) == REQUESTS


def test_an_episode_is_saved_when_it_ends_and_waits_for_no_other(
    server: MisbehavingServer, slice_path: Path
) -> None:
    saved: list[int] = []

    def watched(body: dict[str, Any]) -> str:
        partial = slice_path.parent / "out.partial"
        saved.append(len(partial.read_text().splitlines()) - 1)
        return zoom_then_answer(body)

    server.answer = watched
    run(slice_path, entry(server, concurrency=2))
    assert saved[-1] >= EPISODES - 3
    assert all(later <= earlier + 2 for earlier, later in pairwise(saved))


def test_replies_outlive_the_episodes_that_they_made(
    server: MisbehavingServer, slice_path: Path
) -> None:
    """As after a change of the code that plays episodes: no prompt is paid for again."""
    first = run(slice_path, entry(server))
    (slice_path.parent / "out.partial").unlink()
    assert run(slice_path, entry(server)) == first
    assert len(server.received) == REQUESTS


@pytest.mark.parametrize(
    "change",
    [{"decoding": DecodingConfig(temperature=0.5)}, {"seed": 1}, {"max_new_tokens": 7}],
    ids=["decoding", "seed", "length"],
)
def test_a_reply_to_another_request_is_no_reply_to_this_one(
    server: MisbehavingServer, slice_path: Path, change: dict[str, Any]
) -> None:
    settings = entry(server)
    for asked_with in (settings, settings.model_copy(update=change), settings):
        run(slice_path, asked_with)
    assert len(server.received) == 2 * REQUESTS


def test_a_lost_connection_costs_the_requests_that_it_cut_and_no_other(
    server: MisbehavingServer, slice_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    server.script = ["ok", "cut", "ok", "ok", "fail", "limit", "ok", "cut"]
    server.retry_after = "0.01"
    episodes = run(slice_path, entry(server))
    assert {episode.tool_status for episode in episodes} == {ToolStatus.ANSWERED}
    assert repeated(server) == 4


def test_what_failed_is_not_kept(server: MisbehavingServer, slice_path: Path) -> None:
    server.script = ["ok", "refuse", "refuse"]
    failed = [e for e in run(slice_path, entry(server, concurrency=1)) if e.error]
    assert not failed  # It is run once more in the same run.
    kept = replies_file(slice_path.parent / "out.partial").read_text().splitlines()
    assert len(kept) == 1 + REQUESTS


def test_progress_counts_replies(
    server: MisbehavingServer, slice_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(slice_path, entry(server))
    assert f"replies={REQUESTS}" in capsys.readouterr().err


def test_nothing_is_tried_again_once_a_run_is_to_end(server: MisbehavingServer) -> None:
    """By themselves, the pauses between tries would add up to minutes."""
    server.script = ["limit"] * 9
    server.retry_after = "60"
    backend = OpenAIBackend(entry(server, retries=8))
    number = backend.submit((Message("user", ("What is the total?",)),))
    while not server.received:
        time.sleep(0.005)
    backend.close()
    ((answered, reply),) = backend.collect()
    assert answered == number
    assert "not asked any more" in reply.error
    assert len(server.received) == 1
