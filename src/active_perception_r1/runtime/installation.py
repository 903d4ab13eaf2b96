"""Where the package and its workflow are: in a checkout of the repository, or installed alone."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path

from active_perception_r1.keys import stages

DISTRIBUTION = "active-perception-r1"
CONFIG = "workflow_config.yaml"

WORKFLOW = (
    "Snakefile",
    "envs",
    "models/tiny-zoom-vlm",
    "profiles",
    "report",
    "rules",
    "workflow_config.schema.json",
    CONFIG,
)
"""What a workflow consists of. The wheel has all of it in the folder `workflow` of the package."""

_EXTRAS = ("stages", "models", "workflow", "vllm", "legibility", "trl", "verifiers")
"""Of the extras that bring a module, the first is named."""


def checkout() -> Path | None:
    """The checkout that the package runs from, if it runs from one."""
    folder = stages.ROOT.parents[1]
    inside = folder / "src" / stages.PACKAGE == stages.ROOT
    return folder if inside and (folder / "Snakefile").is_file() else None


def workflow_folder() -> Path:
    """Where the workflow is that belongs to this package."""
    return checkout() or stages.ROOT / "workflow"


def requirement() -> str:
    """What to tell pip, in one word, to have the same package in another environment."""
    if folder := checkout():
        return f"--editable={folder}"
    installed = distribution(DISTRIBUTION)
    origin = json.loads(installed.read_text("direct_url.json") or "{}")  # none: from an index
    if "vcs_info" in origin:
        return f"{origin['vcs_info']['vcs']}+{origin['url']}@{origin['vcs_info']['commit_id']}"
    return str(origin.get("url", f"{DISTRIBUTION}=={installed.version}"))


def extra_of(module: str) -> str | None:
    """The extra of this package that brings a module, if one does.

    >>> extra_of("torch"), extra_of("snakemake.cli"), extra_of("tokenize")
    ('models', 'workflow', None)
    """
    name = module.partition(".")[0].replace("_", "-")
    name = {"pynvml": "nvidia-ml-py"}.get(name, name)
    stated = re.compile(rf"{re.escape(name)}\b(?!-).*extra == .([a-z]+)")
    found = map(stated.match, distribution(DISTRIBUTION).requires or ())
    extras = {match[1] for match in found if match}
    return next((extra for extra in _EXTRAS if extra in extras), None)
