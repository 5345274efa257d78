# `make up` and `make test` are all a fresh machine needs; it must have Python 3.11+, git and make.

BIN := .venv/bin
DATA ?= data
PYTEST_ARGS ?= -n 2
PATHS := src tests tools bench

.PHONY: up down status test test-growth check format docs constraints bench bench-growth scale help

up: ## install, and start the platform in the background on http://127.0.0.1:7860 (PORT=, HOST=, DATA= to differ)
	@tools/setup.sh up
	@_HEADWATER_STOP_COMMAND="make down$(if $(filter-out data,$(DATA)), DATA=$(DATA))" \
	$(BIN)/headwater up --background --data $(DATA) $(if $(PORT),--port $(PORT)) $(if $(HOST),--host $(HOST))

down: ## stop it
	@test -x $(BIN)/headwater || { echo "Nothing is installed here, so nothing runs."; exit 0; }; \
	$(BIN)/headwater down --data $(DATA)

status: ## whether it runs, and how it is
	@$(BIN)/headwater status --data $(DATA)

test: ## install what the tests need, and run all of them
	@tools/setup.sh test
	$(BIN)/pytest $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory test-growth

# Stores and protocols once more, on what sites of several hosts are kept in (tests/growth.py).
GROWTH_TESTS := $(addprefix tests/,ground accounts cards collector community files git huggingface lfs review rules search xet)

test-growth: ## the tests of stores and protocols, on PostgreSQL instead of SQLite
	@tools/setup.sh test
	HEADWATER_TEST_ON=growth $(BIN)/pytest $(PYTEST_ARGS) -m "not browser and not models" $(GROWTH_TESTS)

check: ## format, lint, types, import order, generated documents
	@tools/setup.sh test
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/ruff check $(PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generated_docs.py --check
	$(BIN)/python tools/initial_migration.py --check

format: ## write the format, and what lint can mend by itself
	$(BIN)/ruff check --fix-only $(PATHS)
	$(BIN)/ruff format $(PATHS)

docs: ## write the generated documents
	$(BIN)/python tools/generated_docs.py

bench: ## measure, side by side with what else could do the same; prints ratios
	@tools/setup.sh bench
	$(BIN)/python -m bench

bench-growth: ## more workers, a storm of clones, twenty minutes of mixed load; about an hour and a half, on PostgreSQL and an S3 store, too
	@tools/setup.sh bench
	$(BIN)/python -m bench.growth

scale: ## the same over sites of 10,000 to a million repositories, on both databases; about two hours, and 30 GB in TMPDIR
	@tools/setup.sh test
	$(BIN)/python -m bench.scale run

constraints: ## write constraints.txt from what is installed
	$(BIN)/python tools/constraints.py

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16
