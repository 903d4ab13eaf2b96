#!/bin/sh
# Run by Snakemake in each environment that it makes: adds this repository's package.
# Snakemake runs a copy from elsewhere, so the Snakefile says where the repository is.
set -e
python -m pip install --quiet --no-deps --editable "${ACTIVE_PERCEPTION_CHECKOUT:?}"
