# `make demo` and `make test` need nothing but Python 3.10 or newer with venv (PYTHON=... picks the interpreter).
# Everything is installed into .venv, once; again when setup.py or the constraints change.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
# Where PyTorch comes from may be set from outside, e.g. PIP_EXTRA_INDEX_URL for builds without CUDA.

.PHONY: demo test lint format clean help

help:
	@echo "make demo    train, predict and evaluate on phantoms made on the spot (about 9 minutes on 2 CPU cores)"
	@echo "make test    check style and types, run the tests"
	@echo "make lint    ruff and mypy alone"
	@echo "make format  let ruff rewrite the files"
	@echo "make clean   remove .venv, caches and builds (the demo's folder stays)"

demo: $(STAMP)
	$(BIN)/l2s_demo -o l2s_demo --overwrite

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf .venv build dist l2s_auto.egg-info .pytest_cache .mypy_cache .ruff_cache
