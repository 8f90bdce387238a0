# The system's Python makes .venv; everything else comes from requirements.lock, with sums, through the machine's own pip settings.
PYTHON ?= python3
BIN := .venv/bin
LOCKED := $(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
STAMP := .venv/.set-up-$(LOCKED)
PYTEST_ARGS ?=
JOBS ?= 3
OF_RULES := tests/domain tests/conformance tests/golden tests/laws tests/topology
MUTMUT_ARGS ?=
BENCH_ARGS ?=
SBOM ?= build/sbom.json

.DEFAULT_GOAL := help
.PHONY: help setup check tools test coverage mutants broker drills golden demo bench bench-peers bench-page scale-page up down status lock sbom clean

help: ## Say what each target does.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name does; do printf '  %-11s %s\n' "$$name" "$$does"; done

setup: $(STAMP) ## Make .venv as locked, with this project in it; at once when nothing changed.

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "this needs Python 3.11 or 3.12, not %d.%d: run `make PYTHON=python3.11 ...`" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r .venv/uv.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q pipelines schemas state
	@rm -f .venv/.set-up-* && touch $@

check: setup ## Formatting, lint, types, the direction of imports, and that schemas stay compatible.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/loyalty schemas check

tools: ## Install what tests start and PyPI does not bring (Prometheus, PostgreSQL, helm), where it is missing.
	@deploy/local/tools

test: setup tools ## Every test, on a real Kafka and registry (JOBS at a time, a stack each, when none is given).
	$(BIN)/pytest --numprocesses=$(JOBS) --dist=loadfile $(PYTEST_ARGS)

coverage: setup ## The rules' own tests; fails unless they reach every branch of domain and processors.
	$(BIN)/pytest --numprocesses=$(JOBS) -m 'not broker' --cov --cov-report=term-missing:skip-covered --cov-fail-under=100 $(OF_RULES)

mutants: setup ## Change the rules in one place at a time: the tests must notice; then the score and the survivors.
	rm -rf mutants
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mutmut run $(MUTMUT_ARGS)
	$(BIN)/python benchmarks/mutants.py

broker: setup tools ## Only the tests that need a real Kafka and registry.
	$(BIN)/pytest -m 'broker and not drill' $(PYTEST_ARGS)

drills: setup tools ## Bring faults about, follow their runbooks, and write down in docs/ALERTS.md how long that took.
	LOYALTY_DRILLS=docs/drills.json $(BIN)/pytest -m broker tests/broker/test_runbooks.py tests/broker/drills $(PYTEST_ARGS)
	$(BIN)/pytest tests/operations/test_pages.py --golden-rewrite

golden: setup ## Write the golden files, and the pages written from code, anew; then read the diff.
	$(BIN)/pytest tests/golden tests/operations/test_pages.py --golden-rewrite $(PYTEST_ARGS)

demo: setup ## Start the stack, replay a year of real baskets, say what happened, verify it.
	$(BIN)/loyalty demo

bench: setup ## Measure facts a second and the time from a fact to its points.
	$(BIN)/loyalty bench

bench-peers: up ## Race the pipeline against its peers on one work, and build them first; figures go to docs/performance.json (BENCH_ARGS).
	$(BIN)/python benchmarks/peers/race.py $(BENCH_ARGS)

bench-page: setup ## Write docs/PERFORMANCE.md anew from docs/performance.json.
	$(BIN)/python benchmarks/peers/page.py

scale-page: setup ## Write docs/SCALE.md anew from docs/scale.json.
	$(BIN)/python benchmarks/scale_page.py

up: setup ## Start Kafka and the schema registry on this machine.
	$(BIN)/loyalty up

down: setup ## Stop what `make up` started; data stays.
	$(BIN)/loyalty down

status: setup ## Show what runs.
	$(BIN)/loyalty status

lock: setup ## Resolve requirements.lock anew from pyproject.toml; `make lock UPGRADE=--upgrade` takes newer versions.
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate --quiet $(UPGRADE) --output-file requirements.lock

sbom: setup ## Write the bill of materials (CycloneDX) of what the lock installs to build/sbom.json.
	@mkdir -p $(dir $(SBOM))
	PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
	    --output-reproducible --output-format JSON --output-file $(SBOM)

clean: ## Delete what tools left behind; not .venv, and not the stack's data (`loyalty down --wipe`).
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage coverage.xml build dist mutants
	find pipelines schemas state tests -name __pycache__ -prune -exec rm -rf {} +
