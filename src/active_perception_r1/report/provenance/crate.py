"""An RO-Crate around pinned results, after the Workflow Run Crate profile 0.5.

https://www.researchobject.org/workflow-run-crate/profiles/workflow_run_crate: the root is a
Workflow RO-Crate whose main entity is the Snakefile, and one CreateAction says that running it with
the configuration gave the leaderboard and everything else in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from active_perception_r1.report.provenance.citation import AUTHORS, LICENSE, title
from active_perception_r1.report.provenance.manifest import Manifest

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

SNAKEFILE = "workflow/Snakefile"
CONFIG = "config.yaml"
AUTHOR = "#authors"
WORKFLOW_PROFILE = {"https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate"}
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    **WORKFLOW_PROFILE,
}
_FORMATS = {
    "": "text/plain",
    ".bib": "application/x-bibtex",
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".parquet": "application/vnd.apache.parquet",
    ".smk": "text/plain",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
}


def write_crate(folder: Path, manifest: Manifest, name: str) -> None:
    """Write `ro-crate-metadata.json` for everything that is in a pinned folder called `name`."""
    date = manifest["created"]
    about = f"Pinned results {name}, sha256 {manifest['digest']}."
    crate = begin(title(manifest), about, date)
    workflow = add_workflow(crate, folder, SNAKEFILE, manifest["source"]["commit"] or "unknown")
    files = [
        add_file(crate, folder, path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / SNAKEFILE
    ]
    config = crate.dereference(CONFIG)
    results = [f for f in files if f.id != CONFIG and not f.id.startswith("workflow/")]
    action = crate.add_action(
        workflow,
        identifier="#run",
        object=config,
        result=results,
        properties={
            "name": f"Run of study {manifest['study']}",
            "description": "Snakemake made the results in this folder from its configuration.",
            "startTime": manifest["jobs"][0]["started"] if manifest["jobs"] else date,
            "endTime": date,
            "actionStatus": "http://schema.org/CompletedActionStatus",
            "agent": _ref(AUTHOR),
        },
    )
    crate.root_dataset["mentions"] = action
    leaderboard = crate.dereference("leaderboard.json")
    for role, entity in (("input", config), ("output", leaderboard)):
        parameter = add_parameter(crate, workflow, role)
        parameter["workExample"] = entity
        entity["exampleOfWork"] = parameter
    if dataset := manifest.get("dataset"):
        _add_dataset(crate, dataset)
    save(crate, folder, _PROFILES)


def begin(name: str, description: str, date: str) -> ROCrate:
    """A crate with its license and authors.

    Args:
        date: when its content was made, in ISO 8601.
    """
    # Imported here: only who makes a crate needs it, not who checks or compares.
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")
    crate.name, crate.description, crate.datePublished = name, description, date
    license = {"@type": "CreativeWork", "name": LICENSE, "description": "Apache License 2.0"}
    crate.license = crate.add(ContextEntity(crate, f"https://spdx.org/licenses/{LICENSE}", license))
    author = crate.add(ContextEntity(crate, AUTHOR, {"@type": "Organization", "name": AUTHORS}))
    crate.root_dataset["author"] = crate.root_dataset["publisher"] = author
    return crate


def add_workflow(crate: ROCrate, folder: Path, name: str, version: str) -> Any:
    """The Snakefile called `name` in the crate's folder, as that which the crate is about."""
    about = {
        "name": "Active-Perception-R1",
        "conformsTo": _ref("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"),
        "encodingFormat": "text/plain",
        "version": version,
    }
    return crate.add_workflow(folder / name, name, main=True, lang="snakemake", properties=about)


def add_parameter(crate: ROCrate, workflow: Any, role: str) -> Any:
    """The file that a workflow takes or gives.

    Args:
        role: `input`, the configuration, or `output`, the leaderboard.
    """
    parameter = crate.add_formal_parameter(
        name=role, additionalType="File", identifier=f"#{role}", valueRequired=True
    )
    workflow[role] = parameter
    return parameter


def save(crate: ROCrate, folder: Path, profiles: Mapping[str, str]) -> None:
    """Write the metadata of a crate that is a folder already.

    Args:
        profiles: the names of those to which it conforms, by their addresses.
    """
    from rocrate.model.contextentity import ContextEntity

    for uri, profile in profiles.items():
        version = uri.rsplit("/", 1)[1]
        about = {"@type": "CreativeWork", "name": profile, "version": version}
        crate.add(ContextEntity(crate, uri, about))
    kept = [_ref(uri) for uri in profiles]
    crate.root_dataset["conformsTo"] = kept if len(kept) > 1 else kept[0]
    # Written by hand: the library would copy every file onto itself.
    text = json.dumps(crate.metadata.generate(), indent=2, ensure_ascii=False)
    (folder / "ro-crate-metadata.json").write_text(text + "\n", encoding="utf-8")


def _ref(id: str) -> dict[str, str]:
    return {"@id": id}


def add_file(crate: ROCrate, folder: Path, path: Path) -> Any:
    """A file in the crate's folder, as a part of the crate."""
    name = path.relative_to(folder).as_posix()
    about: dict[str, Any] = {"name": name, "contentSize": str(path.stat().st_size)}
    if kind := _FORMATS.get(path.suffix):
        about["encodingFormat"] = kind
    if name == "README.md":
        about["about"] = _ref("./")
    return crate.add_file(path, name, properties=about)


def _add_dataset(crate: ROCrate, about: dict[str, str]) -> None:
    """What the results rest on; it is not in the folder, so it is no part of the crate."""
    from rocrate.model.contextentity import ContextEntity

    described = {"@type": "CreativeWork", "name": about["url"].rpartition("datasets/")[2]}
    known = {key: about[key] for key in ("url", "license", "citation") if about[key]}
    entity = crate.add(ContextEntity(crate, about["url"], {**described, **known}))
    crate.root_dataset["isBasedOn"] = entity
