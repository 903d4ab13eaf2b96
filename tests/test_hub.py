"""A name on the hub stands for one commit, which stays the same until another one is asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.constants import HF_HUB_CACHE

from active_perception_r1.errors import BackendError, DataError, HubError
from active_perception_r1.storage import hub
from active_perception_r1.storage.hub import Kind, resolve_commit

A, B = "a" * 40, "b" * 40


class FakeHub:
    """Answers as `HfApi` does, for one repository whose default branch moves."""

    head: str | None = A

    def repo_info(self, name: str, **options: Any) -> SimpleNamespace:
        if self.head is None:
            raise ConnectionError("no route to host")
        return SimpleNamespace(sha={None: self.head, "v1": A}[options["revision"]])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(hub, "HfApi", lambda: fake)
    monkeypatch.chdir(tmp_path)
    assert not Path(HF_HUB_CACHE, "models--some--thing").exists()
    return fake


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_name_is_resolved_once_and_written_down(fake: FakeHub, kind: Kind) -> None:
    assert resolve_commit(kind, "some/thing") == A
    assert A in (hub.RECORDS / f"{kind}s" / "some--thing.json").read_text()
    assert resolve_commit(kind, "some/thing") == A


def test_another_commit_by_the_same_name_is_an_error_that_says_how_to_go_on(fake: FakeHub) -> None:
    resolve_commit("model", "some/thing")
    fake.head = B
    with pytest.raises(HubError, match=f"`revision: {A}` to go on .* `revision: {B}` to change"):
        resolve_commit("model", "some/thing")
    assert resolve_commit("model", "some/thing", A) == A


def test_a_commit_that_is_asked_for_is_used_from_then_on(fake: FakeHub) -> None:
    resolve_commit("model", "some/thing")
    fake.head = B
    assert resolve_commit("model", "some/thing", B) == B
    assert resolve_commit("model", "some/thing") == B


def test_a_full_commit_needs_no_hub(fake: FakeHub) -> None:
    fake.head = None
    assert resolve_commit("dataset", "some/thing", B) == B


def test_a_model_and_a_dataset_of_one_name_are_two_things(fake: FakeHub) -> None:
    resolve_commit("model", "some/thing")
    fake.head = B
    assert resolve_commit("dataset", "some/thing") == B


def test_a_tag_is_resolved_like_a_branch(fake: FakeHub) -> None:
    assert resolve_commit("model", "some/thing", "v1") == A


def test_what_is_in_the_cache_needs_no_hub(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The layout in which the hub's client keeps a repository."""
    repository = tmp_path / "cache" / "models--some--thing"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(B)
    (repository / "snapshots" / B).mkdir(parents=True)
    (repository / "snapshots" / B / "config.json").write_text("{}")
    monkeypatch.setattr(
        "huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "cache")
    )
    fake.head = None
    assert resolve_commit("model", "some/thing") == B


def test_an_unreachable_hub_is_an_error_of_models_and_of_data(fake: FakeHub) -> None:
    fake.head = None
    with pytest.raises(HubError, match="model 'some/thing' is neither a folder here nor") as caught:
        resolve_commit("model", "some/thing")
    assert isinstance(caught.value, BackendError)
    assert isinstance(caught.value, DataError)


def test_a_damaged_record_says_what_to_do(fake: FakeHub) -> None:
    resolve_commit("model", "some/thing")
    (hub.RECORDS / "models" / "some--thing.json").write_text("{")
    with pytest.raises(HubError, match="damaged; delete it"):
        resolve_commit("model", "some/thing")
