# make app, make test: all it takes is Python 3.11 or newer and make. The first run installs into .venv, later runs start in seconds.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
BROWSER := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: app test lint docs fuzz bench bench-gpu browser clean

app: .venv/runtime
	$(BIN)/python app.py $(ARGS)

test: .venv/dev browser
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Damages tiny files of every kind, and holds every reader to its promise. What fails is kept in tests/fuzz/corpus.
MINUTES ?= 30
fuzz: .venv/dev
	FUZZ_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/fuzz $(ARGS)

# The Python interface as HTML, from the docstrings.
docs: .venv/dev
	$(BIN)/pdoc -o docs/api explorer explorer.latents explorer.networks explorer.weights explorer.keep explorer.export explorer.inversion explorer.metrics

bench: .venv/dev browser
	$(BIN)/python -m benchmarks

bench-gpu: .venv/dev
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.engine_gpu

# The browser tests drive a real Chromium. As root on Debian or Ubuntu it is installed; elsewhere they say what is missing.
browser:
ifeq ($(BROWSER),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "No Chromium found: the browser tests will be skipped. Install it with your system's packages."; fi
endif

.venv/runtime: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	touch $@

.venv/dev: requirements-dev.txt .venv/runtime
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv
