# Every target makes .venv and installs what it needs by itself.
.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint format bench reproduce docs clean
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough; `make PYTHON=... demo` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PYTEST := OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=20
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.core ## fit a mixture of flows to handwritten digits; writes pushforward-demo/
	$(BIN)/pushforward demo

test: lint ## lint, types, import contracts and tests
	$(PYTEST) -m "not alone and not long"

test-long: $(VENV)/.dev ## the tests that `make test` leaves out: like cases, and whole runs
	$(BIN)/python -m pytest -m alone
	$(PYTEST) -m "long and not alone"

lint: $(VENV)/.dev ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## benchmarks against peers, in an environment of their own
	$(BIN)/python -m benchmarks

reproduce: $(VENV)/.dev ## run the experiments whose results the docs show
	for experiment in pinwheel two_circles mnist_0_4 mnist tables defaults cases balance round_trip depth posteriors energies sequences vae outliers out_of_distribution topology bi_lipschitz indexed_tables guides mixed_tables imputation synthetic image_density indexed_images image_outliers pixels; do $(BIN)/python experiments/$$experiment.py || exit 1; done

docs: $(VENV)/.core ## rebuild the generated pages and pictures
	$(BIN)/python docs/build.py

clean: ## remove the environment, caches and outputs
	rm -rf $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
		pushforward-demo dist build

# Stamps: made anew when the dependencies change. The second holds all of the first, and compiles it on all cores:
# the demo needs but a part, once, while tests start many interpreters.
$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) ".[dev]"
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # some packages carry templates that do not compile
	touch $@ $(VENV)/.core

$(VENV)/.made:
	@[ -n "$(PYTHON)" ] || { echo "pushforward needs Python 3.11 or newer; none found (make PYTHON=/path/to/python3)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@
