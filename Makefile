# Everything a developer or a newcomer runs. `make help` lists it.

DEVICE ?= cpu
PYTHON ?= python3
# How many tests run side by side; each keeps to one thread.
JOBS ?= auto

BIN := .venv/bin
READY := .venv/ready-$(DEVICE)
LOCKS := lock/cpu.txt lock/cuda.txt
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow check format tree bench bench-pretrained bench-pictures bench-loop bench-all lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  DEVICE=cuda takes the lock for NVIDIA GPUs instead of the one for CPUs."

install: $(READY)  ## set up .venv from the lock

# --no-deps: the lock is the whole closure, so nothing else (no gigabytes of CUDA on a CPU machine) can come along.
$(READY): lock/$(DEVICE).txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "genloom needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@rm -f .venv/ready-*
	@echo "Installing what lock/$(DEVICE).txt pins; the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r lock/$(DEVICE).txt \
	  || { cat lock/cure-$(DEVICE).txt >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -W error -c 'import torch; print("torch", torch.__version__, "imports")' \
	  || { cat lock/cure-$(DEVICE).txt >&2; exit 1; }
	@touch $@

# The taste that the demo teaches, as a program can check it: no other speaker breaks in.
JUDGE := regex:pattern=[A-Z]{3};absent=true

demo: $(READY)  ## collect Shakespeare, train, write, learn from a machine's ratings; draw; ask a pretrained model
	$(BIN)/genloom collect builtin:shakespeare --name shakespeare
	$(BIN)/genloom train shakespeare --minutes 2
	$(BIN)/genloom generate shakespeare --prompt "ROMEO:" --count 3 --seed 7
	$(BIN)/genloom evaluate shakespeare
	@echo
	@echo "A machine judge, in the place of a person, likes speeches into which no other speaker breaks. Learning that:"
	$(BIN)/genloom generate shakespeare --prompts bench/speakers.txt --count 4 --max-tokens 60 > genloom-workspace/rated.txt
	$(BIN)/genloom rate shakespeare --check '$(JUDGE)'
	$(BIN)/genloom learn shakespeare --steps 120 --check '$(JUDGE)' --prompts bench/unheard.txt --out genloom-workspace/report.html
	@echo
	@echo "Pictures, from the model that comes with Genloom:"
	$(BIN)/genloom generate icons --prompt "a red fox reading a book under the moon" --count 4 --seed 7 --sheet --out genloom-workspace/pictures
	@echo
	@echo "A pretrained model:"
	$(BIN)/genloom import smollm2 && $(BIN)/genloom chat smollm2 --prompt "What is the capital of France?" --temperature 0 \
	  || echo "The pretrained model could not be had now; the rest works without it."
	@echo
	@echo "Now with your own files:"
	@echo "  $(BIN)/genloom collect ./my-notes --name notes"
	@echo "  $(BIN)/genloom train notes --minutes 10"
	@echo "  $(BIN)/genloom generate notes --prompt \"On the sea\" --count 3"
	@echo "  $(BIN)/genloom chat smollm2"
	@echo "  $(BIN)/genloom generate icons --prompt \"three blue cups at night\" --count 8 --sheet --out ./pictures"
	@echo "The receipt of what was learned, with charts, to open in a browser: genloom-workspace/report.html"

test: $(READY)  ## the tests, without the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS)

test-slow: $(READY)  ## the tests that take longer than a few seconds each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) -m slow

check: $(READY)  ## format, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check
	$(BIN)/lint-imports --no-logo

format: $(READY)  ## rewrite the code to the format and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tree:  ## write the tree in README.md anew from the modules' first sentences
	$(PYTHON) tools/readme_tree.py

# Each benchmark by what it is about, the rest about text; one is run alone by `.venv/bin/python bench/NAME.py`.
PRETRAINED := decode tuning
PICTURES := pictures families pictures_sampling inpainting
LEARNING := loop tastes tastes_pictures
TEXT := $(filter-out $(PRETRAINED) $(PICTURES) $(LEARNING) paired,$(basename $(notdir $(wildcard bench/*.py))))
LOOP := $(BIN)/python bench/loop.py

define run-each
@for each in $(1); do echo "== bench/$$each.py"; $(BIN)/python bench/$$each.py; done
endef

bench: $(READY) .venv/ready-bench  ## the figures of text, each with its peer in the same run: about fifty minutes
	$(call run-each,$(TEXT))

bench-pretrained: $(READY) .venv/ready-bench  ## those of pretrained models: half an hour
	$(call run-each,$(PRETRAINED))

bench-pictures: $(READY) .venv/ready-bench  ## those of pictures: an hour and a half
	$(call run-each,$(PICTURES))

bench-loop: $(READY)  ## those of learning from ratings: about two hours
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

bench-all: bench bench-pretrained bench-pictures bench-loop  ## all of them

# llama.cpp is built here, with this machine's instructions but AMX, of which its present version dies (docs/log.md).
.venv/ready-bench: lock/bench.txt $(READY)
	@CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF -DLLAVA_BUILD=OFF" \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r lock/bench.txt
	@touch $@

# uv lives in its own folder and only computes the pins; see docs/decisions/0002-lock.md.
# What is pinned stays unless pyproject.toml forbids it; `make lock UPGRADE=--upgrade` takes what is newest.
UV := build/lock/bin/uv
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header $(UPGRADE)

lock: $(UV)  ## compute lock/*.txt from pyproject.toml
	$(RESOLVE) --group dev --extra pictures --extra pretrained --extra team pyproject.toml --output-file lock/cuda.txt
	grep -vE '^(nvidia-|cuda-|triton==)' lock/cuda.txt \
	  | sed -E "s/^(torch==[0-9.]+)$$/\1+cpu ; sys_platform == 'linux'\n\1 ; sys_platform != 'linux'/" > lock/cpu.txt
	$(RESOLVE) --group bench --constraint lock/cuda.txt --output-file build/lock/bench.txt
	grep -vxFf lock/cuda.txt build/lock/bench.txt > lock/bench.txt

$(UV):
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'

clean:  ## remove .venv, builds and caches; the workspace stays
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find genloom tests -name __pycache__ -prune -exec rm -rf {} +
