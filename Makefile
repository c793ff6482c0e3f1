# The front door. Every target sets up what it needs first; all of them are quick when nothing is to do.
#   make demo    synthesize recordings, score them with the committed model, show the result
#   make test    build everything and run all tests
#   make build   the command at build/release/whimbrel
#   make bench   the tables of docs/performance.md, each against its peer, on this machine
#   make lint    formatting, clang-tidy, ruff, the include rule
#   make asan    unit tests under AddressSanitizer and UBSan
#   make fuzz    every parser against made-up bytes: SECONDS=30 for each, or RUNS=20000; TARGETS="audio onnx"
#   make wheel   dist/whimbrel-*.whl, tried in a fresh virtual environment
#   make soak MINUTES=5   repeated runs with random faults: the same bytes, memory that stays flat
#   make sbom    dist/whimbrel.cdx.json, what all of it is made of
#   make lock    requirements/*.lock, after a change of requirements/*.txt
SHELL := /bin/bash
JOBS ?= $(shell nproc)
PRESET := release
BUILD := build/$(PRESET)
PYTHON := .venv/bin/python

.PHONY: demo test build bench soak lint wheel format asan tsan fuzz setup setup-dev lock sbom

setup:
	@scripts/setup
setup-dev:
	@scripts/setup --dev

# The demo needs neither torch nor the tests.
build: setup
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) --parallel $(JOBS) --target whimbrel

demo: build
	@$(PYTHON) examples/dawn_chorus/demo.py --whimbrel $(BUILD)/whimbrel

build-all: setup-dev
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) --parallel $(JOBS)

test: build-all
	ctest --preset $(PRESET) --parallel $(JOBS) --output-on-failure
	WHIMBREL_BUILD=$(BUILD) $(PYTHON) -m pytest -q -ra -n $(JOBS) --dist loadfile -m "not serial" tests/python
	WHIMBREL_BUILD=$(BUILD) $(PYTHON) -m pytest -q -ra -m serial tests/python

bench: build-all
	$(PYTHON) bench/run.py --build $(BUILD)

MINUTES ?= 5
soak: build-all
	@PYTHONPATH=$(BUILD)/python:tests/data $(PYTHON) tests/soak.py --whimbrel $(BUILD)/whimbrel --minutes $(MINUTES)

wheel: setup-dev build
	@JOBS=$(JOBS) scripts/build-wheel
	@$(PYTHON) scripts/check_wheel.py

asan tsan: setup-dev
	@cmake --preset $@ >/dev/null
	@cmake --build --preset $@ --parallel $(JOBS)
	ctest --preset $@ --parallel $(JOBS) --output-on-failure

SECONDS ?= 30
fuzz: setup-dev
	@cmake --preset asan >/dev/null
	@cmake --build --preset asan --parallel $(JOBS) --target fuzz_targets
	$(PYTHON) tests/fuzz/run.py --jobs $(JOBS) $(if $(RUNS),--runs $(RUNS),--seconds $(SECONDS)) $(TARGETS)

sbom: build-all
	@$(PYTHON) scripts/sbom.py --build $(BUILD)

lock:
	@scripts/lock

format: setup-dev
	.venv/bin/clang-format -i $$(git ls-files '*.cc' '*.h')
	.venv/bin/ruff format -q .
	.venv/bin/ruff check -q --fix .

lint: build-all
	.ci/lint
