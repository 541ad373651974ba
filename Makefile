# Every target sets itself up: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint bench figures picture clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,train]'
	touch $(READY)

demo: $(READY) ## See the live monitor on the bundled record (Ctrl-C ends it)
	$(BIN)/monitor replay demo --speed 2

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## Run the gate: style, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: $(READY) ## Measure kernels, student, latency and throughput; a table and bench.json
	$(BIN)/monitor bench --json-file bench.json

figures: $(READY) ## Write docs/benchmarks.md
	$(BIN)/monitor bench --report docs/benchmarks.md

picture: $(READY) ## Draw the README's picture of the dashboard
	$(BIN)/python -m monitor.picture docs/dashboard.svg

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
