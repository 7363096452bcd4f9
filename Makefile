# Everything a person types. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full lint format bench bench-peers contracts lock clean

PYTHON ?= python3
BIN := .venv/bin
SEED ?= 1
VENV_STAMP := .venv/.locked
NODE_STAMP := contracts/node_modules/.locked
KERNEL_STAMP := .venv/.kernels
KERNELS := $(shell find searcher/kernels -name '*.py')

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV_STAMP) $(NODE_STAMP) $(KERNEL_STAMP) ## install what is locked, compile the kernels

$(VENV_STAMP): locks/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# npm and Node.js come with the Python lock, so that no system package is needed for them.
$(NODE_STAMP): contracts/package-lock.json contracts/.npmrc $(VENV_STAMP)
	cd contracts && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --loglevel=error
	@touch $@

# Machine code lies in the user's cache folder, keyed by the sources: what is there is not compiled.
$(KERNEL_STAMP): $(VENV_STAMP) $(KERNELS)
	$(BIN)/searcher kernels warm
	@touch $@

demo: setup ## watch the daemon earn on two local chains; SEED=n picks another market
	$(BIN)/searcher demo --seed $(SEED)

test: setup ## the test suite, one end-to-end run included
	$(BIN)/python -m pytest -q -m "not full"

test-full: setup ## the test suite with the heavy sizes and new random examples
	SEARCHER_NEW_EXAMPLES=1 $(BIN)/python -m pytest -q

lint: setup ## formatting, lint, types, and the rules of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=scripts $(BIN)/mypy scripts/verify_demo.py scripts/verify
	PYTHONPATH=. $(BIN)/lint-imports

format: setup ## rewrite the formatting
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## measure the pipeline; writes var/bench/*.json
	$(BIN)/python -m tests.bench

bench-peers: setup ## measure another project's curves beside ours (Python 3.12 for theirs)
	scripts/bench_peers.sh

contracts: setup ## build, test and snapshot the contracts; rewrites contracts/artifacts
	scripts/contracts.sh

lock: ## renew the lock files (needs uv and npm)
	scripts/lock.sh

clean: ## remove what was built here; the download cache stays
	rm -rf .venv var contracts/node_modules contracts/out contracts/cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
