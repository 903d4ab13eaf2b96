#!/bin/sh
# Run by Snakemake in each environment that it makes: adds this repository's package.
set -e
python -m pip install --quiet --no-deps --editable "$(dirname "$0")/.."
