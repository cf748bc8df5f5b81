# Everything a developer types. `make help` lists it.
#   make run PORT=8080 SPEED=1200      make bench ONLY=conflicts_10x50
PORT ?=
SPEED ?=
ONLY ?=
KILLS ?=
MINUTES ?=
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos soak screenshots clean lock messages install install-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Options: PORT=8000 (run), SPEED=600 (run: how many times faster replays go), ONLY=<name> (bench, screenshots), KILLS=200 (chaos), MINUTES=60 (soak)"

run: install ## Install what is missing, start everything, print the address and the demo sign-in
	@PORT="$(or $(PORT),$$PORT)" REPLAY_SPEED="$(or $(SPEED),$$REPLAY_SPEED)" exec $(BIN)/python -m portfolio_site.run

test: install-dev ## Run unit and integration tests, then the journeys in a real browser
	$(PYTEST) -n 3 --dist worksteal
	$(PYTEST) tests/journeys -n 2 --override-ini="addopts=-ra --strict-markers --strict-config"

check: install-dev ## What CI runs: lint, format, types, layers, migrations, known vulnerabilities, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	@mkdir -p var/log
	@timeout 120 $(BIN)/pip-audit -r requirements.txt --disable-pip --progress-spinner off > var/log/pip-audit.log 2>&1 \
	  || echo "WARNING: pip-audit found something or could not ask its database (no failure); see var/log/pip-audit.log"
	$(MAKE) --no-print-directory test

bench: install-dev ## Measure; one JSON line per figure
	@$(BIN)/python -m benchmarks $(ONLY)

chaos: install-dev ## Kill random processes of a site of its own under load; runs add up in var/chaos.jsonl
	@$(BIN)/python -m tests.faults.chaos --kills $(or $(KILLS),200)

soak: install-dev ## Read wallets of a venue that fails all the time, for an hour; figures as a JSON line
	@$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),60)

screenshots: install-dev ## Picture every page into docs/screenshots/, from a demo site of its own (ONLY: part of a page's name)
	@$(BIN)/python scripts/screenshots.py $(if $(ONLY),--only $(ONLY))

messages: install-dev ## Collect texts, update the translations in locale/, compile them
	$(BIN)/python scripts/messages.py

lock: install-dev ## Pin requirements*.in again, with hashes
	$(BIN)/python scripts/lock.py

clean: ## Remove caches and the environment; var/ with its portfolios stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage staticfiles tests/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

install:
	@$(PYTHON) scripts/install.py

install-dev:
	@$(PYTHON) scripts/install.py --dev
