"""The inference stage: every sample gets a line, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.distractors import with_distractors
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import BackendError, DataError
from active_perception_r1.models import runner
from active_perception_r1.models.backends import BatchBackend
from active_perception_r1.models.infer import MIN_STREAK, infer
from active_perception_r1.modes import ACTIVE, ORACLE, SHUFFLED_CROP
from active_perception_r1.records import Episode, ToolStatus
from active_perception_r1.sim.messages import FinishReason, Reply, Request
from active_perception_r1.storage.journal import retry_file
from tests.scripted import MODEL, ZOOM, make_sample, stop

SLICE = [make_sample(i) for i in range(10)]


class Scripted(BatchBackend):
    """A backend that zooms, then answers; it can fail or be killed at a given request."""

    revision = "r1"
    set_aside: Mapping[str, Any] = {}
    live = 3

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.kill_at = -1
        self.fail: set[int] = set()

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        replies = []
        for request in requests:
            self.asked += 1
            if self.asked == self.kill_at:
                raise KeyboardInterrupt
            if self.asked in self.fail:
                replies.append(Reply("", FinishReason.ERROR, error="server gone"))
            else:
                replies.append(stop("<answer>42</answer>" if len(request) > 1 else ZOOM))
        return replies


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    scripted = Scripted()
    monkeypatch.setattr(runner, "load_backend", lambda settings: scripted)
    return scripted


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    path = tmp_path / "slice.parquet"
    write_samples(path, SLICE)
    return path


def run(
    slice_path: Path, mode: str = ACTIVE, model: ModelConfig = MODEL, name: str = "out"
) -> list[Episode]:
    output = slice_path.parent / f"{name}.jsonl"
    model = model.model_copy(update={"max_concurrent_episodes": 3})
    infer(slice_path, "scripted", model, mode, output, slice_path.parent / f"{name}.partial")
    return [Episode.from_json(line) for line in output.read_text().splitlines()]


def test_every_sample_gets_a_line_in_slice_order(backend: Scripted, slice_path: Path) -> None:
    episodes = run(slice_path)
    assert [episode.sample_id for episode in episodes] == [sample.id for sample in SLICE]
    assert {episode.answer for episode in episodes} == {"42"}
    assert {episode.model_revision for episode in episodes} == {"r1"}


def test_a_killed_run_resumes_and_asks_nothing_twice_that_was_saved(
    backend: Scripted, slice_path: Path
) -> None:
    whole = run(slice_path, name="whole")
    total, backend.asked = backend.asked, 0
    backend.kill_at = 14
    with pytest.raises(KeyboardInterrupt):
        run(slice_path, name="cut")
    saved = len((slice_path.parent / "cut.partial").read_text().splitlines()) - 1
    assert saved > 0
    backend.kill_at, backend.asked = -1, 0
    assert run(slice_path, name="cut") == whole
    assert backend.asked == total - 2 * saved


def test_what_was_saved_for_other_settings_is_not_used(backend: Scripted, slice_path: Path) -> None:
    backend.kill_at = 14
    with pytest.raises(KeyboardInterrupt):
        run(slice_path)
    backend.kill_at, backend.asked = -1, 0
    run(slice_path, model=MODEL.model_copy(update={"max_new_tokens": 7}))
    assert backend.asked == 2 * len(SLICE)


def test_an_engine_error_is_tried_once_more(backend: Scripted, slice_path: Path) -> None:
    backend.fail = {2}
    assert {episode.tool_status for episode in run(slice_path)} == {ToolStatus.ANSWERED}


def test_regression_an_engine_error_is_written_down_and_asks_for_a_retry(
    backend: Scripted, slice_path: Path
) -> None:
    """In the predecessor, failed samples silently left the denominator."""
    backend.fail = {2, 20, 21}
    failed = [episode for episode in run(slice_path) if episode.error]
    assert [episode.tool_status for episode in failed] == [ToolStatus.BACKEND_ERROR]
    assert failed[0].answer is None
    assert retries(slice_path) == "1\n"

    backend.fail, backend.asked = {1, 2}, 0
    assert sum(bool(episode.error) for episode in run(slice_path)) == 1
    assert (backend.asked, retries(slice_path)) == (2, "2\n")  # The failed one alone, twice.

    backend.fail, backend.asked = set(), 0
    assert {episode.tool_status for episode in run(slice_path)} == {ToolStatus.ANSWERED}
    assert (backend.asked, retries(slice_path)) == (2, "2\n")


def retries(slice_path: Path) -> str:
    return retry_file(slice_path.parent / "out.partial").read_text()


def test_an_engine_that_never_answers_fails_the_stage(backend: Scripted, slice_path: Path) -> None:
    backend.fail = set(range(1000))
    with pytest.raises(
        BackendError, match="^10 episodes .* sample sample-0: server gone, and none went well"
    ):
        run(slice_path)
    assert not (slice_path.parent / "out.jsonl").exists()


def test_an_engine_that_goes_away_fails_the_stage_soon_and_loses_nothing(
    backend: Scripted, slice_path: Path
) -> None:
    write_samples(slice_path, [make_sample(i) for i in range(60)])
    backend.fail = set(range(20, 1000))
    with pytest.raises(BackendError, match="server gone: the engine is gone; what was finished"):
        run(slice_path)
    assert backend.asked < 20 + 2 * MIN_STREAK
    backend.fail, backend.asked = set(), 0
    assert len(run(slice_path)) == 60
    assert 60 < backend.asked < 2 * 60


@pytest.mark.parametrize("mode", [ACTIVE, SHUFFLED_CROP, ORACLE])
def test_a_page_that_cannot_be_decoded_costs_its_own_sample_only(
    mode: str, backend: Scripted, slice_path: Path
) -> None:
    broken = replace(SLICE[4], image=SLICE[4].image[:200])
    write_samples(slice_path, [*SLICE[:4], broken, *SLICE[5:]])
    episodes = run(slice_path, mode)
    (failed,) = [episode for episode in episodes if episode.sample_id == "sample-4"]
    assert failed.tool_status is ToolStatus.DATA_ERROR
    assert failed.error.startswith("image cannot be decoded: ")
    assert Episode.from_json(failed.to_json()) == failed
    # Nothing would come of running it again.
    assert not retry_file(slice_path.parent / "out.partial").exists()
    others = {e.tool_status for e in episodes if e.sample_id not in ("sample-3", "sample-4")}
    assert ToolStatus.DATA_ERROR not in others


def test_decoys_come_from_another_page() -> None:
    pages = ["a", "a", "b", "c", "c", "c"]
    samples = [make_sample(i, doc_id=page) for i, page in enumerate(pages)]
    pairs = list(with_distractors(iter(samples)))
    assert [sample for sample, _ in pairs] == samples
    assert all(sample.doc_id != distractor.doc_id for sample, distractor in pairs)
    with pytest.raises(DataError, match="at least two pages"):
        list(with_distractors(iter(samples[:2])))
