# Two commands do all their own set-up: `make demo` and `make test`. They need Python 3.10, 3.11 or 3.12 and a package index.

VENV ?= .venv
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
BENCH_ARGS ?=
BIN := $(VENV)/bin
# The first interpreter that runs and is of a version that MindSpore has wheels for; or name one: make demo PYTHON=…
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 && echo $$p && break; done)
PLUGINS := $(patsubst %/pyproject.toml,./%,$(wildcard plugins/*/pyproject.toml))
PROJECTS := . $(PLUGINS)
PROJECT_FILES := pyproject.toml $(wildcard plugins/*/pyproject.toml plugins/*/hatch_build.py plugins/*/native/*) constraints.txt
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-slow test-parity downstream lint docs wheels bench lock clean

help:
	@echo "make demo         generate a story with the shipped model"
	@echo "make test         run the tests"
	@echo "make test-slow    run those that take minutes: clusters of processes, distributions built and installed"
	@echo "make test-parity  run the comparisons with torch and transformers"
	@echo "make downstream   run the example plugins' own tests against this checkout"
	@echo "make lint         check style and types"
	@echo "make docs         build the documentation into site/"
	@echo "make wheels       build all distributions into dist/, and check them"
	@echo "make bench        measure speed beside torch, transformers, ctranslate2 and onnxruntime; BENCH_ARGS=--quick for a glance"

demo: $(VENV)/.installed
	@$(BIN)/mf generate --model gpt2_tiny "Once upon a time"

test: $(VENV)/.test-installed
	$(BIN)/python -m pytest -m "not parity and not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/.test-installed
	$(BIN)/python -m pytest -m "slow and not parity" $(PYTEST_ARGS)

test-parity: $(VENV)/.parity-installed
	$(BIN)/python -m pytest -m parity $(PYTEST_ARGS)

downstream: $(VENV)/.test-installed
	$(BIN)/python downstream/run.py

lint: $(VENV)/.test-installed
	$(BIN)/ruff check
	$(BIN)/mypy

# Warnings are errors; nothing is fetched, and the pages need no network either.
docs: $(VENV)/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Each distribution as an index wants it: built from its own sources, its metadata and its contents looked at.
wheels: $(VENV)/.docs-installed
	@rm -rf dist
	@for project in $(PROJECTS); do $(BIN)/python -m build --no-isolation --outdir dist $$project >/dev/null || exit 1; done
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

bench: $(VENV)/.bench-installed
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

# The extra "bench", but not for Python 3.13: the resolver looks at it, and onnx wants numpy 2 there.
BENCH_PEERS := $(foreach peer,ctranslate2==4.8.5 onnxruntime==1.32.0 onnx==1.23.2,"$(peer); python_version >= '3.11' and python_version < '3.13'")
# Pins for all three Python versions at once; torch is pinned where it is asked for (pyproject.toml, extra "parity").
lock: $(VENV)/.installed
	$(PIP_INSTALL) uv
	printf '%s\n' ".[test,docs,release]" $(PLUGINS) "hatchling>=1.27" editables "setuptools>=70.1" "transformers==5.23.0; python_version >= '3.11'" $(BENCH_PEERS) > lock.in
	$(BIN)/python -m uv pip compile --universal --python-version 3.10 --no-header --no-annotate \
		$$(sed -n 's/^name = "\(.*\)"/--no-emit-package \1/p' pyproject.toml plugins/*/pyproject.toml) \
		lock.in -o constraints.txt; rm -f lock.in

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache site dist

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.10, 3.11 or 3.12 found; install one, or: make demo PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(PROJECT_FILES)
	@echo "installing the core, the backends with MindSpore (0.8 GB) and the model families; this takes minutes the first time"
	@$(PIP_INSTALL) hatchling editables "setuptools>=70.1"  # the last for jieba, which is published as source alone
	@$(PIP_INSTALL) --no-build-isolation $(addprefix --editable ,$(PROJECTS))
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	@$(PIP_INSTALL) --no-build-isolation --editable ".[test,release]"
	@touch $@

$(VENV)/.docs-installed: $(VENV)/.installed
	@$(PIP_INSTALL) --no-build-isolation --editable ".[docs,release]"
	@touch $@

$(VENV)/.parity-installed: $(VENV)/.test-installed
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "transformers 5 needs Python 3.11 or 3.12")'
	@$(PIP_INSTALL) --no-build-isolation --editable ".[parity]"
	@touch $@

$(VENV)/.bench-installed: $(VENV)/.parity-installed
	@$(PIP_INSTALL) --no-build-isolation --editable ".[bench]"
	@touch $@
