# Everything runs in .venv, made from the pinned requirements. Python 3.11, pip, git and make are all it asks for.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
N      ?= 500
# One more than there are processors: many tests wait for a clock, a disk or a socket.
JOBS   ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Thousands of processes are started by the tests: none of them shall compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench crash fuzz wheel lock clean

help: ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mo-sync needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.develop: $(VENV)/.runtime requirements/develop.txt
	$(PIP) install --require-hashes -r requirements/develop.txt
	@touch $@

demo: $(VENV)/.runtime ## Run the whole pipeline against the embedded gateway, in ./mo-sync-demo
	$(BIN)/mo-sync demo

test: $(VENV)/.develop ## Run every test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: $(VENV)/.develop ## Lint, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

bench: $(VENV)/.develop ## Measure against named peers (minutes)
	$(BIN)/python -m benchmarks

crash: $(VENV)/.develop ## Kill a working mo-sync N times and count what was lost: make crash N=5000
	$(BIN)/python -m tests.crash.campaign --kills $(N)

fuzz: $(VENV)/.develop ## Post N odd bodies to the relay: make fuzz N=100000
	$(BIN)/python -m tests.fuzz --bodies $(N)

wheel: $(VENV)/.develop ## Build dist/*.whl
	$(BIN)/python -m build --no-isolation --wheel

UVC    := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --universal --python-version 3.11
lock: ## Pin the newest allowed versions (needs uv)
	$(UVC) --upgrade pyproject.toml --extra postgres --extra oauth -o requirements/runtime.txt
	$(UVC) --upgrade --group build -c requirements/runtime.txt -o requirements/build.txt
	$(UVC) --upgrade pyproject.toml --extra postgres --extra oauth --group build --group test --group check -c requirements/runtime.txt -c requirements/build.txt -o requirements/develop.txt

clean: ## Remove what was built
	rm -rf $(VENV) dist build mo-sync-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
