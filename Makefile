# The commands of this repository; each works from a fresh clone.
PYTHON ?= python3.11
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: env demo test check test-verl check-envs clean

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

# verl's trainer on the CPU, with our agent loop, reward and launch: slow, and 4 GB of its own.
# Without dependencies: verl asks for an older transformers than vLLM for CPUs can do with.
test-verl: .venv-verl/installed
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/tests/verl/shims .venv-verl/bin/python -m pytest tests/verl -x

.venv-verl/installed: requirements-verl.lock
	$(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip install --quiet --no-deps --requirement requirements-verl.lock
	.venv-verl/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Needs the package index: can the pins of every environment still be installed together?
check-envs: env
	python envs/check.py

# Results, their logs and Snakemake's memory of how they were made stay: they may be dear.
clean:
	rm -rf .venv .venv-verl build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +
