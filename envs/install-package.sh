#!/bin/sh
# Run by Snakemake in each environment that it makes: adds the package as it is where Snakemake runs,
# which is why the Snakefile tells where that is from.
set -e
python -m pip install --quiet --no-deps "${ACTIVE_PERCEPTION_PACKAGE:?}"
