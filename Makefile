# For people: `make demo` and `make test`. Both make the environment if need be, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lint gemma bench clean

# The main job, end to end: weights, trace, proof, report.
demo: $(VENV)/.installed
	$(BIN)/microtome get smollm2
	$(BIN)/microtome trace "The capital of France is" --counterfactual "The capital of Germany is" \
	  --target " Paris" --against " Berlin" --out out/france.html --graph out/france.json
	@echo "Open out/france.html in a browser; out/france.json holds the graph."

# Everything that must hold before a change is taken. What needs real weights gets them first.
test: lint
	$(BIN)/microtome get smollm2
	$(BIN)/pytest -m "not gemma" --numprocesses auto --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The same promises on Gemma 3 270M, whose licence asks something of its users: read what `get` says.
gemma: $(VENV)/.installed-dev
	$(BIN)/microtome get gemma3-270m
	$(BIN)/pytest -m gemma tests/gemma

bench: $(VENV)/.installed-dev
	$(BIN)/microtome get smollm2
	$(BIN)/python benchmarks/capture.py
	$(BIN)/python benchmarks/trace.py
	$(BIN)/python benchmarks/harvest.py

clean:
	rm -rf $(VENV) out

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "microtome needs Python 3.11 or newer; try: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: an environment is made again when its needs change, and not otherwise.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
