# agentcost-collector. `make` alone prints this list.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

# The virtual environment: exactly what requirements.lock pins, then this package itself.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q agentcost_collector
	@touch $@

setup: $(READY) ## install everything into .venv

run: $(READY) ## start the collector on 127.0.0.1:4317 (gRPC) and :4318 (HTTP), data in ./data
	$(BIN)/agentcost serve

demo: $(READY) ## send recorded agent runs to a collector and show what they cost
	$(BIN)/python -m tests.demo

# What the tests need of the system: strace strikes system calls, openssl makes certificates, chromium
# opens reports.
TOOLS := strace openssl chromium

tools: promtool alertmanager
	@for tool in $(TOOLS); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	  test -z "$$missing" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq $$missing; } || \
	  { echo "The tests need$$missing; install it with the package manager of this system" >&2; exit 1; }

# Checks alerting rules. Taken out of Prometheus' package, for installing that starts a server.
promtool:
	@command -v promtool >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && cd "$$(mktemp -d)" && \
	  apt-get update -qq && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && install usr/bin/promtool /usr/local/bin/; } || \
	  { echo "The tests need promtool; it comes with Prometheus" >&2; exit 1; }

# Takes the alerts that tests send. Without its package, which starts it.
alertmanager:
	@command -v prometheus-alertmanager >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && cd "$$(mktemp -d)" && \
	  apt-get update -qq && apt-get download -qq prometheus-alertmanager && dpkg-deb -x prometheus-alertmanager_*.deb . && \
	  mkdir -p /usr/share/prometheus && cp -r usr/share/prometheus/alertmanager /usr/share/prometheus/ && \
	  install usr/bin/prometheus-alertmanager /usr/local/bin/; } || \
	  { echo "The tests need prometheus-alertmanager, a package of Debian" >&2; exit 1; }

test: lint tools $(READY) ## everything that CI runs
	$(BIN)/python -m pytest -n 3 tests

test-fast: $(READY) ## the tests that take under a minute
	$(BIN)/python -m pytest -n 2 -m 'not slow' tests

lint: $(READY) ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

sim: $(READY) ## a simulated run of everything under faults: make sim SEED=123
	$(BIN)/python -m tests.sim --seed $(or $(SEED),0)

sim-night: $(READY) ## 10,000 such runs, each from its own seed; failing ones are printed
	$(BIN)/python -m tests.sim --count 10000

faults-night: tools $(READY) ## every error at every system call of a delivery, besides every kill
	FAULTS=all $(BIN)/python -m pytest -n 2 tests/faults/test_every_call.py

KILLS ?= 1000
kill-night: $(READY) ## kill -9 of receiver and pipeline, KILLS=1000 times, under live senders
	KILLS=$(KILLS) $(BIN)/python -m pytest tests/faults/test_kill_loop.py

CLONES ?= 20000
clones-night: tools $(READY) ## power cuts: CLONES=20000 disks; SEED=6 draws them
	CLONES=$(CLONES) $(BIN)/python -m pytest -n 2 tests/faults/test_power_cuts.py

golden: $(READY) ## rewrite the golden files; review the diff
	$(BIN)/python -m tests.golden.rewrite

docs: $(READY) ## rewrite docs/dialects.md from the dialect files and docs/conformance.md from the tests
	$(BIN)/python -m tests.dialects_page
	$(BIN)/python -m tests.conformance.page

fuzz-night: $(READY) ## 200,000 mutated requests over every transport, CASES=n SEED=n for others
	$(BIN)/python -m tests.conformance.fuzz $(or $(CASES),200000) $(or $(SEED),1)

screenshot: tools $(READY) ## docs/images/report.png, a report of the demo's ledger in Chromium
	$(BIN)/python -m tests.report.browser

bench: $(READY) ## CPU per span of every stage, and its ratio to the floor
	$(BIN)/python -m tests.bench

bench-peers: $(READY) ## CPU per span of this and of peers, which are installed into build/peers
	$(BIN)/python -m tests.bench.peers

profile: $(READY) ## flame graphs of receiver and pipeline under load, in build/profile
	$(BIN)/python -m tests.bench.profile

bench-restate: $(READY) ## CPU and memory of restating a million steps
	$(BIN)/python -m tests.bench.restate

bench-commits: $(READY) ## a ledger after 10 to 10,000 commits, and bytes per step after compaction
	$(BIN)/python -m tests.bench.commits

STEPS ?= 10000000
ledger-10m: $(READY) ## a generated ledger of 10,000,000 steps over 90 days in build/ledger-10m; STEPS=n
	$(BIN)/python -m tests.bench.generate_ledger build/ledger-10m --steps $(STEPS)

LEDGER ?= build/ledger-10m
bench-queries: $(READY) ## 12 questions to LEDGER=build/ledger-10m, without and with cubes, which it makes
	$(BIN)/python -m tests.bench.queries $(LEDGER)

bench-nightly: $(READY) ## a first night, the next one and each report on LEDGER, which gets a day more
	$(BIN)/python -m tests.bench.nightly $(LEDGER)

bench-memory: $(READY) ## memory of the receiver under 32 requests of 64 MiB at once, and bombs
	$(BIN)/python -m tests.conformance.memory 64

bench-start: $(READY) ## time to the first answer after kill -9 with a journal of 1 GiB
	$(BIN)/python -m tests.journal.bench start 1

bench-open: $(READY) ## memory of the pipeline with 1,000,000 open spans
	$(BIN)/python -m tests.journal.bench open 1000000

bench-verify: $(READY) ## CPU per entry of sealing, and of verify before and after a merge
	$(BIN)/python -m tests.verify.bench

flips-night: $(READY) ## 10,000 single bits turned in every kind of file that is kept
	$(BIN)/python -m tests.verify.flips 10000

lock: $(READY) ## pin the dependencies again (needs pip-tools on PATH)
	pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml

clean: ## remove the virtual environment, caches, ./data and ./build
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache data build

.PHONY: $(shell grep -oE '^[a-z-]+:' Makefile | tr -d :)
.DEFAULT_GOAL := help
