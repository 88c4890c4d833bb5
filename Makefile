# Python 3.10 to 3.13 with venv and pip; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
# Most of a test is tracing and compiling, which takes one core.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: install demo test test-all test-versions lint format bench
.DEFAULT_GOAL := install

install: .venv/installed

.venv/installed: setup.py
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(\
	    not (3, 10) <= v < (3, 14) and \
	    f'Python 3.10 to 3.13 is needed; this is {v[0]}.{v[1]}. Try: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: install
	rm -rf $(DEMO)
	$(BIN)/zoo train vae_digits --out $(DEMO)/run
	$(BIN)/zoo evaluate $(DEMO)/run
	$(BIN)/zoo export $(DEMO)/run --out $(DEMO)/export
	@echo "Asking the SavedModel, in a process that has TensorFlow alone:"
	@$(BIN)/python -I zoo/serving/probe.py $(DEMO)/export/vae_digits/1 $(DEMO)/served_samples.png
	$(BIN)/zoo report $(DEMO)/run --out $(DEMO)/report.html
	@echo "Everything is in $(DEMO): run/samples.png, run/reconstructions.png, run/curves.png,"
	@echo "served_samples.png, export/vae_digits/1. Open $(DEMO)/report.html in a browser:"
	@echo "its numbers and pictures, and the decoder under sliders."

# Quick: most of its time would go into LLVM's optimizations of programs that run once.
# `make test-all` compiles as a user's run does.
test: lint
	XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: lint
	$(BIN)/python -m pytest $(PARALLEL)

# The contract tests on every row of versions, each in an environment of its own.
test-versions: install
	$(BIN)/python -m tests.versions --write

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python benchmarks/train_step.py
