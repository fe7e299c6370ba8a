# `make` alone lists the targets. PYTHON=python3.13 chooses another interpreter for the environment.
PYTHON ?= python3
FUZZ_RUNS ?= 20
MINUTES ?= 24
MEGABYTES ?= 100
SECONDS ?= 30
OUTAGES ?= 100
KILLS ?= 200
JOBS ?= 1
WORKERS ?= auto
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check

# Two states of one environment: what a device has, and everything (TensorFlow and the tools, 2.4 GB).
RUNTIME := $(VENV)/stamp-runtime
FULL    := $(VENV)/stamp-full
# The beat detectors of others live apart: their libraries must not meet TensorFlow's.
PEERS   := .venv-peers/stamp
# So do the runtimes of others, and tflite-runtime from these: it wants numpy 1.
RUNTIMES := .venv-runtimes/stamp

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit bench detectors peers arm fuzz fuzz-coverage link soak daemon-cost kill-loop firmware release ci-deps page clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1 - \2/p' $(MAKEFILE_LIST) | awk -F' - ' '{printf "%-16s %s\n", $$1, $$2}'

demo: $(RUNTIME) ## label a shipped recording and score it (installs the runtime only, no hardware needed)
	@$(BIN)/edge-ecg demo

test: lint types unit ## everything that must pass: lint, types, tests (installs TensorFlow and the tools)

lint: $(FULL) ## style, and the rules of who may import whom
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(FULL) ## static types
	$(BIN)/mypy

# The list of tests is cut in two, and who is done first takes of the other's rest: what one file shares is made once.
unit: $(FULL) ## the tests, in WORKERS=auto processes (one a core)
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

bench: $(FULL) ## measure accuracy and latency on this machine
	$(BIN)/python -m benchmarks.foundation
	$(BIN)/python -m benchmarks.tables

detectors: $(PEERS) ## compare beat detectors on the real databases, 30 min, or JOBS=2 (installs theirs, no TensorFlow)
	OMP_NUM_THREADS=1 .venv-peers/bin/python -m benchmarks.detectors run --jobs $(JOBS)
	.venv-peers/bin/python -m benchmarks.detectors page

peers: $(RUNTIMES) ## compare with what people would use instead: other runtimes, NeuroKit2 and Keras, 1 h (installs TensorFlow and theirs)
	.venv-runtimes/bin/python -m benchmarks.peers all
	.venv-runtimes/bin/python -m benchmarks.peer_page

arm: $(FULL) ## the runtime on emulated 64-bit and 32-bit Arm: labels equal to this machine's (Debian 12, qemu-user-static)
	$(BIN)/python -m benchmarks.arm_labels run
	$(BIN)/python -m benchmarks.arm_labels page

fuzz-coverage: $(FULL) ## each decoder for SECONDS=30 on bytes that reach new code (atheris, Linux on x86-64)
	$(PIP) atheris
	cd tests && for name in $$(../$(BIN)/python -c "from board_streams import STREAMS; print(*STREAMS)"); do \
	  ../$(BIN)/python fuzz_coverage.py $$name -max_total_time=$(SECONDS) -rss_limit_mb=1500 || exit 1; done

fuzz: $(FULL) ## MEGABYTES=100 of garbage through each receiver, then property tests with new inputs, FUZZ_RUNS=20 times over
	$(BIN)/python tests/fuzz_receivers.py --megabytes $(MEGABYTES)
	for seed in $$(seq $(FUZZ_RUNS)); do $(BIN)/python -m pytest -q -m hypothesis --hypothesis-seed=$$seed || exit 1; done

link: $(FULL) ## the serial link: a cable pulled OUTAGES=100 times, and its share of a core
	$(BIN)/python -m benchmarks.reconnects --outages $(OUTAGES)
	$(BIN)/python -m benchmarks.link_cost

page: $(FULL) ## the live page for SECONDS=30 with a viewer: its share of a core
	$(BIN)/python -m benchmarks.page_cost --seconds $(SECONDS)

soak: $(FULL) ## the daemon with all outputs on a bad cable, MINUTES=24 at 60 x: memory, threads, files, lost samples
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

daemon-cost: $(FULL) ## the daemon in real time for two minutes: its share of a core, memory, delays
	$(BIN)/python -m benchmarks.daemon_cost

kill-loop: $(FULL) ## the recording, killed KILLS=200 times: every record reads, a second at most is lost
	$(BIN)/python -m benchmarks.kill_loop --times $(KILLS)

firmware: $(RUNTIME) ## build and measure the firmware of an Arduino board (make ci-deps installs the compiler)
	$(MAKE) -s -C firmware avr size PYTHON=$(abspath $(BIN)/python)

release: $(FULL) ## wheel, sdist and their checksums, in dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	cd dist && sha256sum *.whl *.tar.gz > SHA256SUMS && cat SHA256SUMS

# System packages of the tests: each line is skipped where the thing is there already.
ci-deps: ## system packages that the tests need (Debian; as root or with sudo)
	@need=""; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || need="$$need python3-venv"; \
	command -v g++ >/dev/null || need="$$need gcc g++ libc6-dev"; \
	command -v avr-gcc >/dev/null || need="$$need gcc-avr"; \
	[ -f /usr/lib/avr/include/avr/io.h ] || need="$$need avr-libc"; \
	[ -f /usr/include/simavr/sim_avr.h ] || need="$$need simavr libsimavr-dev"; \
	[ -d /usr/share/arduino/hardware/arduino/avr/cores ] || need="$$need arduino-core-avr"; \
	command -v arm-none-eabi-gcc >/dev/null || need="$$need gcc-arm-none-eabi"; \
	command -v qemu-system-arm >/dev/null || need="$$need qemu-system-arm"; \
	command -v qemu-aarch64-static >/dev/null || need="$$need qemu-user-static"; \
	[ -n "$$(PATH="$$PATH:/usr/sbin" command -v mosquitto)" ] || need="$$need mosquitto"; \
	command -v openssl >/dev/null || need="$$need openssl"; \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || need="$$need chromium"; \
	command -v systemd-analyze >/dev/null || need="$$need systemd"; \
	[ -z "$$need" ] && exit 0; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$need

clean: ## remove the environment and everything built
	rm -rf $(VENV) .venv-peers .venv-runtimes .venv-runtimes-legacy dist build firmware/build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "make: $(PYTHON) not found: install Python 3.11 or newer, or name one: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $$($(PYTHON) --version 2>&1) found, 3.11 or newer needed: make PYTHON=python3.11 names another"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "make: $(PYTHON) cannot make environments: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(RUNTIME): pyproject.toml $(BIN)/python
	$(PIP) -e .
	@touch $@

$(FULL): pyproject.toml $(BIN)/python
	$(PIP) -e ".[train,bench,dev,export,mqtt,web]"
	@touch $(RUNTIME) $@

$(PEERS): pyproject.toml
	$(PYTHON) -m venv --clear .venv-peers
	echo '*' > .venv-peers/.gitignore
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check -e ".[bench,peers]"
	@touch $@

$(RUNTIMES): pyproject.toml
	$(PYTHON) -m venv --clear .venv-runtimes
	$(PYTHON) -m venv --clear .venv-runtimes-legacy
	echo '*' | tee .venv-runtimes/.gitignore > .venv-runtimes-legacy/.gitignore
	.venv-runtimes/bin/python -m pip install -q --disable-pip-version-check -e ".[train,mcu,runtimes]"
	.venv-runtimes-legacy/bin/python -m pip install -q --disable-pip-version-check "numpy<2" tflite-runtime==2.14.0
	@touch $@
