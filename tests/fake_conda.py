"""A `conda` that needs no channel: it makes "environments" that run this interpreter.

It checks what it is asked for and answers as conda does, as far as Snakemake asks. So the tests
cover Snakemake's side (which environments are made, from what, and that jobs run inside them), and
not whether the pins resolve.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import yaml

# Stands in for an environment's python; pip only links the package.
PYTHON = r"""#!/bin/sh
here="$(dirname "$0")"
if [ "$1 $2" != "-m pip" ]; then
    exec {interpreter} "$@"
fi
for last; do :; done  # pip install --editable=FOLDER
last="${last#--editable=}"
if [ ! -d "$last/src/active_perception_r1" ]; then
    echo "$last holds no package" >&2
    exit 1
fi
cat > "$here/active-perception" <<END
#!/bin/sh
echo "\$@" >> "$here/../jobs.log"
PYTHONPATH="$last/src" exec "$here/python" -m active_perception_r1.cli "\$@"
END
chmod +x "$here/active-perception"
"""
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


def install_fake_conda(root: Path) -> Path:
    """Make `root`/bin/conda and return the folder to put on PATH."""
    bin_folder = root / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "conda").write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n')
    (bin_folder / "conda").chmod(0o755)
    (bin_folder / "activate").write_text(ACTIVATE)
    return bin_folder


def create(spec_file: Path, prefix: Path) -> None:
    spec = yaml.safe_load(spec_file.read_text(encoding="utf-8"))
    packages = [entry for entry in spec["dependencies"] if isinstance(entry, str)]
    if any(package.count("=") != 1 for package in packages):
        sys.exit(f"{spec_file}: not all of {packages} are pinned")
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta" / "history").touch()
    (prefix / "spec.json").write_text(json.dumps(spec))
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").write_text(PYTHON.replace("{interpreter}", sys.executable))
    (prefix / "bin" / "python").chmod(0o755)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", "-p", type=Path)
    parser.add_argument("--file", type=Path)
    match arguments:
        case ["--version"]:
            print("conda 24.11.0")
        case ["info", *_]:
            root = os.environ["FAKE_CONDA_ROOT"]
            print(json.dumps({"conda_prefix": root, "platform": "linux-64", "envs_dirs": []}))
        case ["config", *_]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["env", "create", *rest]:
            asked, _ = parser.parse_known_args(rest)
            create(asked.file, asked.prefix)
        case ["clean" | "list" | "env", *_]:
            pass
        case _:
            sys.exit(f"the fake conda does not know {arguments}")


if __name__ == "__main__":
    main(sys.argv[1:])
