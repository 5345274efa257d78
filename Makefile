# `make up` and `make test` are all a fresh machine needs; it must have Python 3.11+, git and make.

BIN := .venv/bin
DATA ?= data
PYTEST_ARGS ?= -n 2
PATHS := src tests tools bench

.PHONY: up down status tour test test-growth faults fuzz check format docs constraints bench bench-growth scale help

up: ## install, and start the platform in the background on http://127.0.0.1:7860 (PORT=, HOST=, DATA= to differ)
	@tools/setup.sh up
	@_HEADWATER_STOP_COMMAND="make down$(if $(filter-out data,$(DATA)), DATA=$(DATA))" \
	$(BIN)/headwater up --background --data $(DATA) $(if $(PORT),--port $(PORT)) $(if $(HOST),--host $(HOST))

down: ## stop it
	@test -x $(BIN)/headwater || { echo "Nothing is installed here, so nothing runs."; exit 0; }; \
	$(BIN)/headwater down --data $(DATA)

status: ## whether it runs, and how it is
	@$(BIN)/headwater status --data $(DATA)

tour: ## with all extras and llama.cpp (minutes, the first time): the whole chain on the running site (TEXT=DIR for texts of your own)
	@TEXT="$(TEXT)" tools/setup.sh tour
	$(BIN)/headwater engine install llama.cpp
	$(BIN)/headwater tour --data $(DATA) $(if $(TEXT),--text "$(TEXT)")

test: ## install what the tests need, and run all of them
	@tools/setup.sh test
	$(BIN)/python tools/run_tests.py $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory test-growth

# Stores and protocols once more, on what sites of several hosts are kept in (tests/growth.py).
GROWTH_TESTS := $(addprefix tests/,ground accounts cards checking collector community files git huggingface lfs review rules search xet \
  compute/test_queue.py compute/test_runs.py)

test-growth: ## the tests of stores and protocols, on PostgreSQL instead of SQLite
	@tools/setup.sh test
	HEADWATER_TEST_ON=growth $(BIN)/python tools/run_tests.py $(PYTEST_ARGS) -m "not browser and not models" $(GROWTH_TESTS)

FAULTS ?= 1000
faults: ## kill the server FAULTS times (1,000) and tamper with a site as often; about an hour, prints what was lost
	@tools/setup.sh test
	FAULTS=$(FAULTS) $(BIN)/pytest -p no:cacheprovider tests/faults

FUZZ_S ?= 60
fuzz: ## strangers' bytes at every parser, each for FUZZ_S seconds
	@tools/setup.sh test
	FUZZ_S=$(FUZZ_S) $(BIN)/pytest -p no:cacheprovider -n 2 tests/fuzz

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
