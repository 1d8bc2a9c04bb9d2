# make search   install and run the main job
# make test     install and run the tests, but for those marked slow
# make test-all install and run all tests
# make docs     build the documentation's site into site/
# make lint     formatter, linter and type checker
# make bench    run the benchmarks
# make fuzz     20,000 mutations of each format that is read, half an hour and more; SEED=2 for others
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= --budget-ms 1.0
SEED ?= 1

.PHONY: install search test test-all lint fuzz bench docs clean

install: $(VENV)/.installed
search: $(VENV)/.installed
	$(BIN)/repvit-nas search $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fuzz: $(VENV)/.test
	FUZZ_MUTATIONS=20000 FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -n auto tests/field/test_formats.py

bench: $(VENV)/.test
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onnx]'
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/.lint: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lint]'
	touch $@
