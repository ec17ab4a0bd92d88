# Two commands for a newcomer: make demo, make test. The rest is for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test test-aarch64 test-systemd test-node-red check setup fuzz soak bench default-model format clean

demo: $(VENV)/base            ## A machine's life in a minute, heard through the real path
	$(BIN)/asd-edge demo --out demo.png

test: setup                   ## Set up everything, then run all tests
	tests/run_all.sh

test-aarch64: $(VENV)/dev     ## Golden outputs and device tests on emulated arm64, outside CI: docs/jetson.md
	tests/aarch64/run.sh

test-systemd: $(VENV)/dev     ## The service on a systemd that boots in a container: docs/service.md
	tests/systemd/run.sh

test-node-red: $(VENV)/dev    ## The example flow in a real Node-RED, outside CI
	tests/node_red/run.sh

check: $(VENV)/dev            ## Style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/dev            ## Everything the tests need
	tests/install_services.sh

fuzz: $(VENV)/dev             ## A hundred thousand mutated bundles, other ones every day
	ASD_EDGE_FUZZ=100000 ASD_EDGE_FUZZ_FIRST=$$(date +%Y%m%d00000) $(BIN)/python -m pytest tests/edge/test_bundle_fuzz.py

soak: $(VENV)/dev             ## Hours of kills, outages and faults for the daemon, and docs/benchmarks.md
	$(BIN)/python -m tests.soak

bench: $(VENV)/dev            ## Measure, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench

default-model: $(VENV)/dev    ## Train the shipped bundle again from its committed recipe
	$(BIN)/python -m tests.default_model

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-edge-*

$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	@touch $@

$(VENV)/base: $(VENV)/python pyproject.toml
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/dev: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@
