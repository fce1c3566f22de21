# Every command sets itself up, in .venv inside this checkout.
PYTHON ?= python3
VENV := .venv
CORE := $(VENV)/.core
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# Compiled modules are kept: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

LOWEST_PYTHON ?= python3.11
LOWEST := .envs/lowest
LOWEST_TESTS := tests/lowest $(addprefix tests/index/test_,build.py query.py refresh.py like.py)
DOCS := .envs/docs

.PHONY: demo test test-long test-lowest lint readme screenshots docs notebooks wordnet-check test-loaders bench bench-full clean

demo: $(CORE)
	$(BIN)/imagenet-tools demo demo

test: $(READY) lint
	$(BIN)/pytest -n 4 -m "not long"

test-long: $(READY)
	$(BIN)/pytest -n 2 -m "long or drawn" --hypothesis-profile=long

# Builds and queries with the lowest versions that pyproject.toml allows, also of Python.
test-lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest -n 2 $(LOWEST_TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/style.py

readme: $(READY)
	$(BIN)/python data/make_readme.py
	$(BIN)/python data/make_pictures.py

# The pictures of the explorer in README.md; needs Chromium.
screenshots: $(READY)
	$(BIN)/python data/make_screenshots.py

# The site, in site/; a warning is an error.
docs: $(DOCS)/.ready
	$(DOCS)/bin/zensical build --strict --clean

notebooks: $(READY)
	$(BIN)/pytest tests/notebooks_check.py

wordnet-check: $(READY)
	$(BIN)/pytest tests/wordnet_check.py

test-loaders:
	$(PYTHON) tests/loaders/run.py

bench: $(READY)
	$(BIN)/python -m tests.benchmarks.run

# The whole ImageNet with drawn images, 20 GB, in FOLDER, where the next run finds it again.
FOLDER ?= .bench/full
bench-full: $(READY)
	$(BIN)/python -m tests.benchmarks.whole $(FOLDER)

clean:
	rm -rf $(VENV) .envs .bench demo site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What `make demo` needs: the package and its libraries.
$(CORE): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	touch $(CORE)

# What the tests and the checks need beside it.
$(READY): $(CORE)
	$(BIN)/python -m pip install --quiet --group dev
	touch $(READY)

$(LOWEST)/.ready: pyproject.toml tests/lowest/requirements.txt
	$(LOWEST_PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --editable . --requirement tests/lowest/requirements.txt
	touch $(LOWEST)/.ready

$(DOCS)/.ready: docs/requirements.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --requirement docs/requirements.txt
	touch $(DOCS)/.ready
