# Commands for developers and newcomers. `make help` lists them.

DEVICE ?= cpu
PYTHON ?= python3
# Number of test processes, each with one thread.
JOBS ?= auto

BIN := .venv/bin
READY := .venv/ready-$(DEVICE)
LOCKS := lock/cpu.txt lock/cuda.txt
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install studio demo test test-slow test-gpu test-scale test-install examples check check-lock check-studio format docs bench bench-pretrained bench-pictures bench-loop bench-assistant bench-all lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  DEVICE=cuda installs the lock for NVIDIA GPUs instead of the one for CPUs."

install: $(READY)  ## create .venv from the lock

# --no-deps: the lock lists all dependencies, so pip adds nothing (such as gigabytes of CUDA on a CPU machine).
$(READY): lock/$(DEVICE).txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "genloom needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@rm -f .venv/ready-*
	@echo "Installing the packages of lock/$(DEVICE).txt; the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r lock/$(DEVICE).txt \
	  || { cat lock/cure-$(DEVICE).txt >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -W error -c 'import torch; print("torch", torch.__version__, "imports")' \
	  || { cat lock/cure-$(DEVICE).txt >&2; exit 1; }
	@touch $@

studio: $(READY)  ## open the web studio in the browser
	$(BIN)/genloom studio

# The preference that the demo teaches, as a machine check: no other speaker interrupts.
CHECK := regex:pattern=[A-Z]{3};is_absent=true

demo: $(READY)  ## collect, train, generate and learn from ratings with Shakespeare; generate images; chat
	$(BIN)/genloom collect builtin:shakespeare --name shakespeare
	$(BIN)/genloom train shakespeare --minutes 2
	$(BIN)/genloom generate shakespeare --prompt "ROMEO:" --count 3 --seed 7
	$(BIN)/genloom evaluate shakespeare
	@echo
	@echo "Learning from ratings: a machine check, instead of a person, prefers speeches without another speaker."
	$(BIN)/genloom generate shakespeare --prompts bench/speakers.txt --count 4 --max-tokens 60 > genloom-workspace/rated.txt
	$(BIN)/genloom rate shakespeare --check '$(CHECK)'
	$(BIN)/genloom learn shakespeare --steps 120 --check '$(CHECK)' --prompts bench/unheard.txt --out genloom-workspace/report.html
	@echo
	@echo "Images from the built-in model:"
	$(BIN)/genloom generate icons --prompt "a red fox reading a book under the moon" --count 4 --seed 7 --sheet --out genloom-workspace/pictures
	@echo
	@echo "A tune from the built-in model, with its piano roll and its sound:"
	$(BIN)/genloom generate tunes --prompt "a chorale in G major for choir, 8 bars" --seed 4 --out genloom-workspace/tune.mid
	$(BIN)/genloom generate tunes --prompt "a chorale in G major for choir, 8 bars" --seed 4 --out genloom-workspace/tune.png
	$(BIN)/genloom generate tunes --prompt "a chorale in G major for choir, 8 bars" --seed 4 --out genloom-workspace/tune.wav
	@echo
	@echo "A pretrained model:"
	$(BIN)/genloom import smollm2 && $(BIN)/genloom chat smollm2 --prompt "What is the capital of France?" --temperature 0 \
	  || echo "The pretrained model is not available; the rest works without it."
	@echo
	@echo "Now with your own files:"
	@echo "  $(BIN)/genloom collect ./my-notes --name notes"
	@echo "  $(BIN)/genloom train notes --minutes 10"
	@echo "  $(BIN)/genloom generate notes --prompt \"On the sea\" --count 3"
	@echo "  $(BIN)/genloom chat smollm2"
	@echo "  $(BIN)/genloom generate icons --prompt \"three blue cups at night\" --count 8 --sheet --out ./pictures"
	@echo "The receipt of the learning, with charts (open it in a browser): genloom-workspace/report.html"

test: $(READY)  ## run the tests, without the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

test-slow: $(READY)  ## run the slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m slow

test-gpu: $(READY)  ## run the tests of training on GPUs (DEVICE=cuda; without a GPU they are skipped)
	$(BIN)/python -m pytest -q -rs tests/train/test_gpu.py

test-scale: $(READY) .venv/ready-scale  ## run the tests on clusters of this machine (installs Ray, 80 MB; some minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow or not slow" tests/scale

.venv/ready-scale: lock/scale.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r lock/scale.txt
	@touch $@

test-install: $(READY)  ## build the wheel, install it elsewhere and run the main job with it
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow tests/test_install.py

examples: $(READY)  ## run the notebooks and store their outputs
	$(BIN)/python -W error tools/notebooks.py

check: $(READY)  ## check format, lint, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check
	$(BIN)/lint-imports --no-logo

check-studio: $(READY)  ## check the types of the studio's pages (needs node), and their words, licences and safety
	@command -v npm > /dev/null || { echo "check-studio needs node and npm; users of Genloom do not." >&2; exit 1; }
	@mkdir -p build/vendor && cp tools/vendor/package.json tools/vendor/package-lock.json tools/vendor/.npmrc build/vendor/
	cd build/vendor && npm ci --ignore-scripts --no-audit --no-fund --silent
	build/vendor/node_modules/.bin/tsc -p tools/vendor/tsconfig.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) tests/studio

format: $(READY)  ## format the code and apply the fixes of the linter
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## update docs/cli.md and docs/tree.md
	$(BIN)/python tools/docs.py

# Benchmarks by topic; those not listed are about text. Run one alone with `.venv/bin/python bench/NAME.py`; those of
# trust, music, molecules and the server have options of their own.
PRETRAINED := decode tuning
PICTURES := pictures families pictures_sampling inpainting
LEARNING := loop tastes tastes_pictures
TRUST := marks marks_cost marks_molecules marks_pictures marks_signatures
PARTS := paired assistant_% music_grids nearest_passages perceptual_distance prompt_task% retrieval_answers retrieval_corpora retrieval_engines  # of others
OTHERS := $(PRETRAINED) $(PICTURES) $(LEARNING) $(TRUST) assistant schema_suite molecules molecules_goals music serve
TEXT := $(filter-out $(OTHERS) $(PARTS),$(basename $(notdir $(wildcard bench/*.py))))
LOOP := $(BIN)/python bench/loop.py

define run-each
@for each in $(1); do echo "== bench/$$each.py"; $(BIN)/python bench/$$each.py; done
endef

bench: $(READY) .venv/ready-bench  ## run the text benchmarks, each with its peer (about 50 minutes)
	$(call run-each,$(TEXT))

bench-pretrained: $(READY) .venv/ready-bench  ## run the benchmarks of pretrained models (30 minutes)
	$(call run-each,$(PRETRAINED))

bench-pictures: $(READY) .venv/ready-bench  ## run the image benchmarks (90 minutes)
	$(call run-each,$(PICTURES))

bench-loop: $(READY)  ## run the benchmarks of learning from ratings (about 2 hours)
	export GENLOOM_HOME=$$(mktemp -d); \
	$(BIN)/genloom collect builtin:shakespeare --name shakespeare; \
	$(BIN)/genloom train shakespeare --minutes 1; \
	$(BIN)/genloom generate shakespeare --prompts bench/speakers.txt --count 4 --max-tokens 60 > $$GENLOOM_HOME/rated.txt; \
	$(LOOP) coin --workspace $$GENLOOM_HOME --model shakespeare --rounds 40 --steps 10; \
	for seed in 1 2 3 4 5; do each=$$GENLOOM_HOME/scratch/$$seed; \
	  $(BIN)/genloom collect builtin:shakespeare --name shakespeare --workspace $$each; \
	  $(BIN)/genloom train shakespeare --minutes 1 --seed $$seed --workspace $$each; \
	  $(LOOP) scratch --workspace $$each --model shakespeare --steps 120; done; \
	$(BIN)/genloom import smollm2; \
	for taste in short plain listed; do $(LOOP) taste --workspace $$GENLOOM_HOME --taste $$taste --minutes 10; done; \
	$(LOOP) taste --workspace $$GENLOOM_HOME --taste listed --flipped 0.3 --steps 40; \
	for taste in blue centred outline; do \
	  $(BIN)/python bench/tastes_pictures.py --workspace $$GENLOOM_HOME --taste $$taste --minutes 5; done; \
	rm -r $$GENLOOM_HOME

bench-assistant: $(READY) .venv/ready-bench  ## run the benchmarks of the assistant, which needs smollm2 (hours)
	$(BIN)/genloom import smollm2
	$(call run-each,assistant)
	$(BIN)/python bench/schema_suite.py

bench-all: bench bench-pretrained bench-pictures bench-loop bench-assistant  ## run all benchmarks

# llama.cpp is built with the instructions of this machine except AMX, with which its present version crashes
# (docs/log/speed.md); the compiler has to be told too, since -march=native turns AMX on again.
NO_AMX := -mno-amx-tile -mno-amx-int8 -mno-amx-bf16
.venv/ready-bench: lock/bench.txt $(READY)
	@CFLAGS="$(NO_AMX)" CXXFLAGS="$(NO_AMX)" \
	  CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF -DLLAVA_BUILD=OFF" \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r lock/bench.txt
	@touch $@

# uv is in its own folder and only computes the pins; see docs/decisions/0002-lock.md.
# Pins stay unless pyproject.toml forbids them; `make lock UPGRADE=--upgrade` takes the newest versions.
UV := build/lock/bin/uv
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header $(UPGRADE)

lock: $(UV)  ## compute lock/*.txt from pyproject.toml
	$(RESOLVE) --group dev --extra assistant --extra audio --extra designs --extra molecules --extra music --extra pictures --extra pretrained --extra private --extra speech --extra storage --extra studio --extra team --extra trust pyproject.toml --output-file lock/cuda.txt
	grep -vE '^(nvidia-|cuda-|triton==)' lock/cuda.txt \
	  | sed -E "s/^(torch==[0-9.]+)$$/\1+cpu ; sys_platform == 'linux'\n\1 ; sys_platform != 'linux'/" > lock/cpu.txt
	$(RESOLVE) --group bench --constraint lock/cuda.txt --output-file build/lock/bench.txt
	awk 'NR == FNR { pins[$$1]; next } !($$1 in pins)' lock/cuda.txt build/lock/bench.txt > lock/bench.txt
	$(RESOLVE) --extra scale --constraint lock/cuda.txt pyproject.toml --output-file build/lock/scale.txt
	awk 'NR == FNR { pins[$$1]; next } !($$1 in pins)' lock/cuda.txt build/lock/scale.txt > lock/scale.txt

# Nothing is downloaded but uv and the packages' lists: uv finds a wheel of every pin for Linux with an NVIDIA GPU.
check-lock: $(UV)  ## check that the lock for NVIDIA GPUs can be installed, without installing it
	$(UV) pip install --quiet --dry-run --no-deps --only-binary torch --only-binary triton --target build/lock/cuda \
	  --python-platform x86_64-manylinux_2_28 --python-version 3.11 -r lock/cuda.txt

$(UV):
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'

clean:  ## remove .venv, builds and caches, but not the workspace
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find genloom tests -name __pycache__ -prune -exec rm -rf {} +
