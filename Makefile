# For people: `make demo` and `make test`. Both make the environment if need be, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

PEERS := saelens sparsify dictionary_learning circuit_tracer
PATCHING_PEER := transformer_lens

.PHONY: demo test test-peers peer-vectors lint gemma bench clean

# The main job, end to end: weights, trace, proof, report.
demo: $(VENV)/.installed
	$(BIN)/microtome get smollm2
	$(BIN)/microtome trace "The capital of France is" --counterfactual "The capital of Germany is" \
	  --target " Paris" --against " Berlin" --out out/france.html --graph out/france.json
	@echo "Open out/france.html in a browser; out/france.json holds the graph."

# Everything that must hold before a change is taken. What needs real weights gets them first.
test: lint
	$(BIN)/microtome get smollm2
	$(BIN)/pytest -m "not gemma and not peers" --numprocesses auto --dist worksteal

# Other tools, as PyPI has them, and we make the same of the same dictionaries, whoever wrote them; and of a network.
test-peers: $(VENV)/.installed-dev
	$(MAKE) --jobs 2 $(PEERS:%=.peers/%/.installed) .peers/$(PATCHING_PEER)/.installed
	$(BIN)/pytest -m peers tests/peers

# What `make test` holds us to where no other tool is installed.
peer-vectors: $(PEERS:%=.peers/%/.installed)
	for peer in $(PEERS); do \
	  rm -rf tests/unit/dictionary/peer_vectors/$$peer; \
	  .peers/$$peer/bin/python tests/peers/peer_$$peer.py make tests/unit/dictionary/peer_vectors/$$peer || exit 1; \
	done

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

# torchvision as PyPI has it is built for CUDA: beside a torch for the CPU, transformers fails on it. Nobody needs it.
.peers/%/.installed: tests/peers/requirements/%.txt constraints.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt \
	  --requirement $<
	$(@D)/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision
	@touch $@

# Stamps: an environment is made again when its needs change, and not otherwise.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
