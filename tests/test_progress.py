"""How far jobs are, as their logs tell it."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from active_perception_r1.config.plan import StudyPlan, load_plan
from active_perception_r1.runtime.progress import (
    Progress,
    last_words,
    parse_bar,
    read_progress,
    study_lines,
)
from tests.configured import configure


@given(
    total=st.integers(1, 10**7),
    share=st.floats(0, 1),
    elapsed=st.floats(0.01, 3e5),
    errors=st.none() | st.integers(0, 999),
)
def test_what_tqdm_draws_is_read_back(
    total: int, share: float, elapsed: float, errors: int | None
) -> None:
    done = round(total * share)
    drawn = tqdm.format_meter(
        done,
        total,
        elapsed,
        unit="episode",
        prefix="model active",
        postfix=None if errors is None else f"replies=7, errors={errors}",
    )
    found = parse_bar(f"Loading 3/4\r{drawn}")
    assert found is not None
    assert (found.done, found.total) == (done, total)
    assert abs(found.elapsed - elapsed) <= 1
    if done:
        assert found.rate == pytest.approx(done / elapsed, rel=0.05, abs=0.01)
    assert found.told == ({} if errors is None else {"replies": "7", "errors": str(errors)})


def test_a_bar_that_is_drawn_again_and_again_is_read_as_it_was_last() -> None:
    log = io.StringIO()
    for _ in tqdm(range(3), file=log, desc="m active", unit="episode", mininterval=0):
        time.sleep(0.001)
    found = parse_bar(log.getvalue())
    assert found is not None
    assert (found.done, found.total, found.left) == (3, 3, 0)


def test_a_log_without_a_bar_has_no_progress(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("GPU 0: held by process 7; waiting\n")
    assert read_progress([tmp_path / "log", tmp_path / "none"]) is None
    assert last_words(tmp_path / "log") == "GPU 0: held by process 7; waiting"


def test_shards_are_counted_together(tmp_path: Path) -> None:
    logs = [tmp_path / str(number) for number in range(3)]
    logs[0].write_text("m:  50%|#| 5/10 [00:10<00:10, 2.00s/episode, errors=1]")
    logs[1].write_text("m:  20%|#| 2/10 [00:04<00:16, 2.00episode/s]")
    logs[2].write_text("m: 100%|#| 9/9 [00:03<00:00, 3.00episode/s, errors=2]")
    assert read_progress(logs) == Progress(16, 29, 10, 16, 2.5, {"errors": "3"})


# What `status` tells.

BAR = "m active:  40%|#| 4/10 [00:04<00:06, 1.00episode/s]"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyPlan:
    monkeypatch.chdir(tmp_path)
    return load_plan(configure(tmp_path, shards=1), "s")


def told(plan: StudyPlan) -> str:
    (line,) = (str(line) for line in study_lines(plan) if line.title == "m active")
    return " ".join(line.split())


def write(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def test_a_mode_waits_runs_fails_and_is_done(plan: StudyPlan) -> None:
    assert told(plan) == "m active waiting"
    write("logs/s/infer/m/active.log", BAR)
    assert told(plan) == "m active 4/10 0:06 left 1.0/s (written 0:00 ago)"
    write("logs/s/infer/m/active.log", f"{BAR}\nerror: the server is gone\n")
    assert told(plan) == "m active 4/10 0:06 left 1.0/s error: the server is gone"
    write("logs/s/infer/m/active.log", "m active: 100%|#| 10/10 [00:10<00:00, 1.00episode/s]")
    write("results/s/predictions/m/active.jsonl")
    assert told(plan) == "m active 10/10 0:10 1.0/s"


def test_what_was_made_elsewhere_is_done_without_a_log(plan: StudyPlan) -> None:
    write("results/s/predictions/m/active.jsonl")
    assert told(plan) == "m active done"
