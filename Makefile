# What people and machines run here; `make help` lists it.

PYTHON ?= python3
VENV := .venv/bin/python
SOURCES := $(wildcard app.py) core evals training tabs tools
# Two processes: with more, browsers are too slow for what they watch; one thread each, or they fight.
PYTEST := OMP_NUM_THREADS=1 $(VENV) -m pytest
WORKERS ?= 2
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: run test check format clean help python environment environment-dev

run: environment ## start the app and print its address; ARGS="--port 7861 --share"
	@$(VENV) app.py $(ARGS)

test: environment-dev ## all tests, the browser's too; ARGS="-k name"
	@$(PYTEST) -n $(WORKERS) --dist loadfile $(ARGS)

check: environment-dev ## lint, types, direction of dependencies, size limits
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy --strict $(SOURCES)
	@$(VENV) .venv/bin/lint-imports
	@$(PYTEST) tests/test_limits.py

format: environment-dev ## lay out the code and mend what ruff can mend
	@$(VENV) -m ruff check --fix --quiet . || true
	@$(VENV) -m ruff format .

clean: ## remove the environment and caches; what the app stored stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing; install Python 3.11 or newer (Debian: apt install python3), or name yours: make PYTHON=/path/to/python3" >&2; exit 2; }

environment: python
	@$(PYTHON) tools/environment.py

environment-dev: python
	@$(PYTHON) tools/environment.py --dev
	@cmp -s requirements-oracles.txt .venv/oracles.txt || { $(VENV) -m pip install --quiet --no-input \
	  --disable-pip-version-check --no-deps -r requirements-oracles.txt && cp requirements-oracles.txt .venv/oracles.txt; }
