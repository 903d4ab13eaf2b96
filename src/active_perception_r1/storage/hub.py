"""Which commit of a model or dataset on the Hugging Face hub is used, and that it stays the same.

A name without a commit is resolved at its first use and written down in the results folder. Later
runs use that commit; if what they would get is another one by then, they stop, because results of
two versions would stand in one table.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from active_perception_r1.errors import HubError
from active_perception_r1.storage.files import atomic

Kind = Literal["model", "dataset"]

RECORDS = Path("results/.revisions")
_TYPICAL_FILE = {"model": "config.json", "dataset": "README.md"}  # in the cache if anything is


def resolve_commit(
    kind: Kind, name: str, revision: str | None = None, records: Path = RECORDS
) -> str:
    """The commit that `revision` of a repository stands for.

    A full commit stands for itself, and is how another one than before is asked for. A branch, a
    tag or None is looked up in the local cache, so that no network is needed for what is there, and
    then on the hub.

    Args:
        records: folder in which the commits of earlier runs are written down.

    Raises:
        HubError: there is no such repository, revision or hub in reach, or an earlier run resolved
            the same name to another commit.
    """
    asked_for = revision is not None and re.fullmatch("[0-9a-f]{40}", revision) is not None
    commit = revision if asked_for and revision else _look_up(kind, name, revision)
    record = records / f"{kind}s" / f"{name.replace('/', '--')}.json"
    earlier = _read(record)
    if not asked_for and earlier not in (None, commit):
        raise HubError(
            f"{kind} '{name}': {revision or 'its default branch'} is now commit {commit}, but"
            f" earlier results are of {earlier} ({record}); write `revision: {earlier}` to go on"
            f" with that one, or `revision: {commit}` to change"
        )
    if earlier != commit:
        with atomic(record) as part:
            part.write_text(json.dumps({"requested": revision, "commit": commit}) + "\n")
    return commit


def _look_up(kind: Kind, name: str, revision: str | None) -> str:
    # All other errors of the client and of its HTTP library mean the same to a user.
    try:
        cached = try_to_load_from_cache(
            name, _TYPICAL_FILE[kind], revision=revision, repo_type=kind
        )
        if isinstance(cached, str):
            return Path(cached).parent.name
        commit = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=10).sha
    except RepositoryNotFoundError:
        raise HubError(
            f"{kind} '{name}' is neither a folder here nor on the hub (or it is private, and"
            " HF_TOKEN is not set)"
        ) from None
    except RevisionNotFoundError:
        raise HubError(f"{kind} '{name}': the hub has no revision '{revision}'") from None
    except Exception as error:
        detail = " ".join(str(error).split())
        raise HubError(
            f"{kind} '{name}' is neither a folder here nor can it be had from the hub: {detail}"
        ) from error
    if commit is None:
        raise HubError(f"{kind} '{name}': the hub names no commit; give a revision")
    return commit


def _read(record: Path) -> str | None:
    try:
        commit: str = json.loads(record.read_text(encoding="utf-8"))["commit"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError):
        raise HubError(f"{record}: damaged; delete it to resolve anew") from None
    return commit
