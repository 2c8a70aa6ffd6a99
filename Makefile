# opoi: the machine needs Python 3.11 or later, venv and make.

# the first of these that runs and is new enough; else python3, and setup reports the fault
PYTHON ?= $(or $(shell for each in python3 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done), python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# one more than there are cores: tests of crashes mostly wait
PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# each writes committed files from their sources, or compares them with --check; golden bytes are last, because
# that generator fails on files of a release
GENERATORS := schemas.generate sinks.generate agent.http.openapi tests.contract.client_files scripts.docs \
	tests.contract.golden_rows tests.contract.golden

# a stack has many processes, and tests start hundreds: without bytecode each would compile every module
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo generate check-generated check test bench constraints soak clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv and install everything into it

# uv takes a third of pip's time; it does not read pip's index or proxy: if pip has one, pip installs everything
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"opoi needs Python 3.11 or later, {sys.executable} is {sys.version.split()[0]}; set PYTHON=...")'
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about 600 MB, up to a minute or two) ..."
	@begun=$$(date +%s); pip="$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile"; \
	all="--constraint constraints.txt --editable .[dev]"; \
	if $(BIN)/python -m pip config list | grep -qE 'index|proxy'; then $$pip $$all; \
	elif $$pip --constraint constraints.txt uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $$all; then :; \
	else echo "uv failed, pip installs ..."; $$pip $$all; fi \
	&& echo "installed in $$(( $$(date +%s) - begun )) s"
	@touch $(STAMP)

demo: setup ## Start everything and show the whole pipeline with simulated traffic
	@$(BIN)/opoi demo

test: setup ## Every test that needs neither root nor a browser
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

generate: setup ## Write every generated file: records, topics, migration, OpenAPI, client, docs, golden files
	@for each in $(GENERATORS); do $(BIN)/python -m $$each || exit; done

check-generated: setup ## Say which generated files are stale
	@failed=0; for each in $(GENERATORS); do $(BIN)/python -m $$each --check || failed=$$?; done; exit $$failed

check: setup ## Lint, types, import contracts, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory check-generated
	@$(BIN)/opoi schemas check

bench: setup ## Every benchmark; writes docs/benchmarks.md
	@$(BIN)/python -m bench --write docs/benchmarks.md

soak: setup ## The long forms of the upgrade, crash, rebalance and property tests
	@HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest tests/property tests/faults/test_hostile_property.py --timeout 7200
	@$(BIN)/python -m pytest -m soak
	@$(BIN)/python -m testkit.upgrade soak v0.2.1
	@$(BIN)/python -m bench.faust_recovery
	@$(BIN)/python -m bench.faust_rebalance

constraints: setup ## Renew constraints.txt from what is installed
	@(echo '# The versions that the tests ran with; addresses are never pinned. Renew with `make constraints`.'; \
	$(BIN)/python -m pip freeze --exclude-editable | grep -v -E '^opoi|@') > constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
