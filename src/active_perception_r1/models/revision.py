"""Which weights exactly: a hub commit, or a fingerprint of a local folder."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache

from active_perception_r1.errors import BackendError


def hub_commit(name: str, revision: str | None) -> str:
    """The commit of a hub model: the cached one where there is one, so that no network is needed.

    Asking the hub first also fails in seconds where loading would retry for minutes.

    Raises:
        BackendError: there is no such model, revision or hub in reach.
    """
    # All of the client's and its HTTP library's errors mean the same to a user.
    try:
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
        commit = HfApi().model_info(name, revision=revision, timeout=10).sha
    except Exception as error:
        detail = " ".join(str(error).split())
        raise BackendError(
            f"model '{name}' is neither a folder here nor can it be had from the hub: {detail}"
        ) from error
    if commit is None:
        raise BackendError(f"model '{name}': the hub names no commit; give a revision")
    return commit
