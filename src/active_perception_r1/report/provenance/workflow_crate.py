"""The repository itself as a Workflow RO-Crate, as WorkflowHub takes it.

`python -m active_perception_r1.report.provenance.workflow_crate FOLDER DATE` writes the metadata
into a folder with the files of a commit, of that date (`make crate`). The profile:
https://w3id.org/workflowhub/workflow-ro-crate/1.0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from active_perception_r1.report.provenance.crate import (
    WORKFLOW_PROFILE,
    add_file,
    add_parameter,
    add_workflow,
    begin,
    save,
)

FILES = ("workflow_config.yaml", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md")
FOLDERS = {
    "rules": "Rules of the workflow",
    "envs": "Environments of the rules",
    "profiles": "How the workflow is run on a workstation and on a cluster",
    "src": "The package whose subcommands the rules call",
    "docs": "Documentation",
    "tests": "Tests",
}


def write_workflow_crate(folder: Path, date: str) -> None:
    """Write `ro-crate-metadata.json` into a folder with the repository's files.

    Args:
        date: of the commit, in ISO 8601.
    """
    citation = yaml.safe_load((folder / "CITATION.cff").read_text(encoding="utf-8"))
    crate = begin(citation["title"], citation["abstract"], date)
    workflow = add_workflow(crate, folder, "Snakefile", citation["version"])
    for role in ("input", "output"):
        add_parameter(crate, workflow, role)
    for name in FILES:
        add_file(crate, folder, folder / name)
    for name, description in FOLDERS.items():
        about = {"name": name, "description": description}
        crate.add_directory(folder / name, f"{name}/", properties=about)
    save(crate, folder, WORKFLOW_PROFILE)


if __name__ == "__main__":
    write_workflow_crate(Path(sys.argv[1]), sys.argv[2])
