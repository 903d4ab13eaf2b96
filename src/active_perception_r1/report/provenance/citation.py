"""How to cite pinned results: `CITATION.cff` (format 1.2.0) and BibTeX, both with their hash."""

from __future__ import annotations

from pathlib import Path

import yaml

from active_perception_r1.report.provenance.manifest import Manifest

AUTHORS = "The Active-Perception-R1 contributors"
LICENSE = "Apache-2.0"


def title(manifest: Manifest) -> str:
    return f"Active-Perception-R1, results of study {manifest['study']}"


def write_citation(folder: Path, manifest: Manifest, name: str) -> None:
    """Write `CITATION.cff`, `citation.bib` and `README.md` into a pinned folder called `name`."""
    date, digest = manifest["created"][:10], manifest["digest"]
    entry = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them with their hash.",
        "type": "dataset",
        "title": title(manifest),
        "authors": [{"name": AUTHORS}],
        "version": digest[:8],
        "date-released": date,
        "license": LICENSE,
        "identifiers": [
            {"type": "other", "value": f"sha256:{digest}", "description": "Digest of the results"}
        ],
    }
    if manifest["source"]["commit"]:
        entry["commit"] = manifest["source"]["commit"]
    text = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True)
    (folder / "CITATION.cff").write_text(text, encoding="utf-8")
    (folder / "citation.bib").write_text(_bibtex(manifest, name), encoding="utf-8")
    (folder / "README.md").write_text(_readme(manifest, name), encoding="utf-8")


def _readme(manifest: Manifest, name: str) -> str:
    return f"""\
# {title(manifest)}

`{name}`, sha256 `{manifest["digest"]}`. `leaderboard.md` has the results, `manifest.json` what they
were made from and by what, `ro-crate-metadata.json` the same as a Workflow Run RO-Crate.

```sh
active-perception verify results/pinned/{name}
snakemake --cores all --configfile results/pinned/{name}/config.yaml
active-perception compare results/pinned/{name} results/{manifest["study"]}
```
"""


def _bibtex(manifest: Manifest, name: str) -> str:
    digest = manifest["digest"]
    fields = {
        "author": f"{{{AUTHORS}}}",
        "title": f"{{{title(manifest)}}}",
        "year": manifest["created"][:4],
        "version": digest[:8],
        "note": f"Pinned results {name}, sha256 {digest}",
    }
    # Names of studies may hold what TeX does not take literally.
    lines = (f"  {key} = {{{value.replace('_', chr(92) + '_')}}}" for key, value in fields.items())
    return f"@misc{{{name},\n" + ",\n".join(lines) + "\n}\n"
