"""A slice that several jobs share: what one job makes, and nothing is asked twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_perception_r1.cli import main
from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError
from active_perception_r1.keys import inference_key
from active_perception_r1.models import runner
from active_perception_r1.models.infer import infer
from active_perception_r1.models.join import join
from active_perception_r1.modes import ACTIVE, SHUFFLED_CROP
from active_perception_r1.records import Episode
from active_perception_r1.storage.shards import Shard, files_beside
from tests.scripted import MODEL, make_sample
from tests.test_infer import Scripted
from tests.workflow import REPOSITORY, Workflow

SLICE = [make_sample(i) for i in range(10)]


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    path = tmp_path / "slice.parquet"
    write_samples(path, SLICE)
    return path


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    scripted = Scripted()
    monkeypatch.setattr(runner, "load_backend", lambda settings: scripted)
    return scripted


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what must not load one; use it after the model has been loaded."""

    def load(settings: ModelConfig) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(runner, "load_backend", load)


def run(
    slice_path: Path,
    count: int,
    model: ModelConfig = MODEL,
    mode: str = ACTIVE,
    kept: str = "kept",
) -> bytes:
    """The predictions, by so many jobs."""
    folder = slice_path.parent / "made"
    shards = [Shard(number, count) for number in range(1, count + 1)]
    parts = [shard.file(folder / f"{count}.jsonl") for shard in shards]
    for shard, part in zip(shards, parts, strict=True):
        partial = shard.file(slice_path.parent / kept / f"{mode}.jsonl")
        infer(slice_path, "m", model, mode, part, partial, shard=shard)
    if count > 1:
        join(parts, slice_path, folder / f"{count}.jsonl")
    return (folder / f"{count}.jsonl").read_bytes()


class TestParts:
    @given(st.lists(st.integers(), max_size=20), st.integers(1, 25))
    def test_every_entry_is_in_one_of_them(self, entries: list[int], count: int) -> None:
        parts = [Shard(number, count).of(entries) for number in range(1, count + 1)]
        assert sorted(entry for part in parts for entry in part) == sorted(entries)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    @pytest.mark.parametrize("name", ["0-of-4", "5-of-4", "1-of-0", "1/4", "-1-of-4", ""])
    def test_what_is_none_is_refused(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(ValueError, match="no part"):
            Shard.named(name)
        with pytest.raises(SystemExit):
            main(["infer", f"--shard={name}"])
        assert "argument --shard: " in capsys.readouterr().err

    def test_files_of_other_parts_and_of_the_whole_are_found(self, tmp_path: Path) -> None:
        names = ["active.jsonl", "active.1-of-2.jsonl", "active.3-of-8.jsonl"]
        others = ["active.1-of-2.replies.jsonl", "active.retry", "active_.jsonl", "x.1-of-2.jsonl"]
        for name in [*names, *others]:
            (tmp_path / name).touch()
        for name in names:
            found = [file.name for file in files_beside(tmp_path / name)]
            assert found == sorted({*names} - {name})
        assert files_beside(tmp_path / "nowhere" / "active.jsonl") == []


class TestPredictions:
    @pytest.mark.parametrize("mode", [ACTIVE, SHUFFLED_CROP])
    @pytest.mark.parametrize("count", [2, 4, 7, 13])
    def test_they_are_byte_for_byte_those_of_one_job(
        self, backend: Scripted, slice_path: Path, count: int, mode: str
    ) -> None:
        whole = run(slice_path, 1, mode=mode, kept="whole")
        assert run(slice_path, count, mode=mode) == whole
        assert len(whole.splitlines()) == len(SLICE)

    def test_what_made_them_is_said_of_all(self, backend: Scripted, slice_path: Path) -> None:
        run(slice_path, 1, kept="whole")
        run(slice_path, 4)
        whole, joined = (
            json.loads((slice_path.parent / "made" / f"{count}.json").read_text())
            for count in (1, 4)
        )
        assert joined == {**whole, "loads": 4}
        assert joined["tokens"]["prompt"] > 0

    @pytest.mark.slow
    def test_a_real_model_writes_what_it_writes_in_one_job(
        self, slice_path: Path, untrained_model: ModelConfig
    ) -> None:
        def timeless(predictions: bytes) -> list[Episode]:
            episodes = map(Episode.from_json, predictions.decode().splitlines())
            return [
                replace(episode, turns=tuple(replace(turn, seconds=0) for turn in episode.turns))
                for episode in episodes
            ]

        whole = run(slice_path, 1, untrained_model, kept="whole")
        assert timeless(run(slice_path, 4, untrained_model)) == timeless(whole)


class TestAnotherNumber:
    @pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (4, 3), (2, 13)])
    def test_it_arranges_anew_and_loads_no_model(
        self,
        backend: Scripted,
        slice_path: Path,
        request: pytest.FixtureRequest,
        before: int,
        after: int,
    ) -> None:
        made = run(slice_path, before)
        request.getfixturevalue("no_model")
        assert run(slice_path, after) == made

    def test_what_was_kept_before_a_kill_is_not_asked_again(
        self, backend: Scripted, slice_path: Path
    ) -> None:
        backend.kill_at = 14
        with pytest.raises(KeyboardInterrupt):
            run(slice_path, 2)
        kept = slice_path.parent / "kept"
        saved = sum(len(file.read_text().splitlines()) - 1 for file in kept.glob("*.jsonl"))
        assert saved > 0
        backend.kill_at, backend.asked = -1, 0
        run(slice_path, 3)
        assert backend.asked == 2 * (len(SLICE) - saved)

    def test_other_settings_ask_again(self, backend: Scripted, slice_path: Path) -> None:
        run(slice_path, 4)
        backend.asked = 0
        run(slice_path, 1, MODEL.model_copy(update={"max_new_tokens": 7}))
        assert backend.asked == 2 * len(SLICE)

    def test_so_do_other_weights_in_the_same_folder(
        self, backend: Scripted, slice_path: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "weights").mkdir()
        (tmp_path / "weights" / "config.json").write_text("{}")
        model = MODEL.model_copy(update={"id": str(tmp_path / "weights")})
        run(slice_path, 1, model)
        backend.revision, backend.asked = "r2", 0  # What is there is not what was loaded.
        run(slice_path, 1, model)
        assert backend.asked == 2 * len(SLICE)

    def test_it_is_no_part_of_the_key(self) -> None:
        several = MODEL.model_copy(update={"shards": 4})
        assert str(inference_key(several, ACTIVE)) == str(inference_key(MODEL, ACTIVE))


class TestWhatCannotBeJoined:
    def parts(self, slice_path: Path) -> list[Path]:
        run(slice_path, 2)
        return [slice_path.parent / "made" / f"2.{number}-of-2.jsonl" for number in (1, 2)]

    def test_parts_of_different_revisions(self, backend: Scripted, slice_path: Path) -> None:
        parts = self.parts(slice_path)
        about = parts[1].with_suffix(".json")
        about.write_text(about.read_text().replace('"revision": "r1"', '"revision": "r2"'))
        with pytest.raises(DataError, match=r"different revisions of the model \(r1, r2\); set"):
            join(parts, slice_path, slice_path.parent / "out.jsonl")

    def test_parts_of_another_slice(self, backend: Scripted, slice_path: Path) -> None:
        parts, output = self.parts(slice_path), slice_path.parent / "out.jsonl"
        with pytest.raises(DataError, match="line 1: not about sample sample-0; run infer again"):
            join(parts[::-1], slice_path, output)
        write_samples(slice_path, SLICE[:8])
        with pytest.raises(DataError, match=r"1-of-2\.jsonl: more lines than samples"):
            join(parts, slice_path, output)
        write_samples(slice_path, [*SLICE, make_sample(10)])
        with pytest.raises(DataError, match=r"1-of-2\.jsonl, line 6: not about sample sample-10"):
            join(parts, slice_path, output)
        assert not output.exists()


# The pipeline.


@pytest.mark.slow
def test_a_cluster_gets_a_job_for_each_of_eight_shards(tmp_path: Path, programs: Path) -> None:
    workflow = Workflow(tmp_path, programs=programs)
    workflow.configure({"models": {"qwen2.5-vl-3b": {"shards": 8, "gpus": 2}}})
    profile = ["--workflow-profile", str(REPOSITORY / "profiles" / "slurm")]
    done = workflow.run("--dry-run", "--config", "study=docvqa", *profile)
    assert done.returncode == 0, done.stdout
    jobs = done.stdout.split("\nrule ")
    shards = [job for job in jobs if job.startswith("infer_shard:")]
    assert len(shards) == 6 * 8
    for job in shards:
        assert "gpu=2" in job
        assert "runtime=720" in job
        assert "mem_mb=64000" in job
    joins = [job for job in jobs if job.startswith("join_shards:")]
    assert len(joins) == 6
    assert all("gpu=0" in job for job in joins)
    assert len([job for job in jobs if job.startswith("infer:")]) == 4 * 6


def test_a_finished_study_is_split_anew_without_a_model(finished: Workflow, tmp_path: Path) -> None:
    workflow = finished.copied(tmp_path / "copy")
    config = finished.config
    config["models"]["tiny"]["shards"] = 4
    workflow.configure(config)
    files = sorted((workflow.folder / "results/small/predictions").rglob("*.jsonl"))
    before = {file: file.read_bytes() for file in files}
    planned = workflow.planned()
    assert (planned["infer_shard"], planned["join_shards"]) == (6 * 4, 6)
    assert "infer" not in planned
    assert "grpo_train" not in planned
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert {file: file.read_bytes() for file in files} == before
    stores = (workflow.folder / "results/.partial/small").rglob("*-of-4.jsonl")
    assert {len(store.read_text().splitlines()) for store in stores} == {1}  # its head alone
    assert workflow.planned() == {}
