# The five commands of this repository; each works from a fresh clone.
PYTHON ?= python3.11
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: env demo test check clean

env: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: env
	snakemake --cores all --config study=demo
	active-perception show results/demo/leaderboard.json

test: env
	pytest

check: env
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

# Results, their logs and Snakemake's memory of how they were made stay: they may be dear.
clean:
	rm -rf .venv build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +
