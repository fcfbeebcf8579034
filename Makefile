# ZFScope's tasks. Each sets up what it needs in .venv first; the second time that takes no time.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test fuzz corpus test-wire check proto bench bench-shutdown bench-restart gpu-check train-default clean

PYTHON ?= python3
# Who runs the forward pass: cpu, or gpu for ONNX Runtime on CUDA.
EXTRA ?= cpu
# A further package index for pip, to choose a build of torch. PyPI's own brings CUDA along (3 GB); the one
# without is at https://download.pytorch.org/whl/cpu. Empty means pip's own configuration alone.
TORCH_INDEX ?=
# Tests that run at the same time, each in one thread, since networks of a few filters gain nothing from more. A
# worker takes 1 GB. Each begins with its own part of the files, so that few share a service or a cluster.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 8 ? n : 8)))
# More options of pytest for `make test`: --random-order, --durations=50.
OPTIONS ?=
# On what `make test-wire` runs: the oldest protobuf that is allowed, and the newest.
PROTOBUF ?= 6.33.5 7.36.2
# Where `make serve` listens; what `make train-default` reads (a folder with train/ and val/) and writes.
LISTEN ?= 127.0.0.1:50051
DATA ?=
NETWORK ?= zfnet
# What `make corpus` sends: a folder of files, of any kind.
CORPUS ?=
OUT ?= runs/$(NETWORK)-imagenette

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(TORCH_INDEX:%=--extra-index-url %)
INPUTS := pyproject.toml constraints.txt
SERVICE := $(VENV)/.service-$(EXTRA)
DEMO := $(VENV)/.demo-$(EXTRA)
DEV := $(VENV)/.dev-$(EXTRA)

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: $(DEV)  ## Set up .venv with everything: the service, the demo and the tools (EXTRA=gpu for CUDA)

demo: $(DEMO)  ## Start the service, show it two photos, and write what it saw to demo/
	$(BIN)/python -m examples.demo --out demo

serve: $(SERVICE)  ## Run the service until Ctrl-C (LISTEN=127.0.0.1:50051)
	$(BIN)/zfscope serve --listen $(LISTEN)

test: $(DEV)  ## Run all tests, JOBS at a time; at least 90 % of the branches must be covered (OPTIONS=--random-order)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --cov --cov-fail-under=90 \
		$(OPTIONS)

test-wire: $(DEV)  ## Run the tests of the wire on other releases of protobuf (PROTOBUF="6.33.5 7.36.2")
	@for version in $(PROTOBUF); do other=$(CURDIR)/$(VENV)/.protobuf-$$version; \
		$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $$other protobuf==$$version && \
		PYTHONPATH=$$other $(BIN)/python -c "import google.protobuf as its; assert its.__version__ == '$$version'" && \
		PYTHONPATH=$$other $(BIN)/python -m pytest tests/client tests/server tests/test_stubs.py || exit 1; \
	done

bench-shutdown: $(DEV)  ## Restart replicas under load, 40 times, and count the calls that fail (20 minutes)
	$(BIN)/python -m benchmarks.shutdown

bench-restart: $(DEV)  ## Restart a lone service under analyses, 50 times, and count the calls that hang (10 minutes)
	$(BIN)/python -m benchmarks.restart

fuzz: $(DEV)  ## Send 20,000 requests that went wrong to every RPC (minutes)
	ZFSCOPE_FUZZ=20000 $(BIN)/python -m pytest -q -s -o faulthandler_timeout=3600 tests/server/test_fuzz.py

corpus: $(DEV)  ## Send every file of a folder to a service (CORPUS=DIR); fails at INTERNAL, tracebacks, hangs, growth
	@test -n "$(CORPUS)" || { echo "say which files: make corpus CORPUS=DIR" >&2; exit 2; }
	$(BIN)/python -m benchmarks.corpus "$(CORPUS)"

check: $(DEV)  ## Lint, types, import rules, protos and the Dockerfile
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/hadolint Dockerfile

proto: $(DEV)  ## Generate the stubs from proto/, and the client's options and types
	$(BIN)/python proto/generate.py service
	$(BIN)/python proto/client.py service

bench: $(DEV)  ## Measure engine, scan and service against what one would use instead
	$(BIN)/python -m benchmarks.projection
	$(BIN)/python -m benchmarks.occlusion
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.serving

gpu-check:  ## Where there is an NVIDIA GPU: run its tests and benchmarks, and print what it is
	$(MAKE) setup EXTRA=gpu
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m benchmarks.projection --device cuda
	$(BIN)/python -m benchmarks.occlusion --device cuda

train-default: $(SERVICE)  ## Train the default model again (DATA=folder with train/ and val/, hours); NETWORK=alexnet
	@test -n "$(DATA)" || { echo "say which photos: make train-default DATA=FOLDER" >&2; exit 2; }
	$(BIN)/zfscope train $(DATA)/train --validation $(DATA)/val --network $(NETWORK) --classes auto --hidden 1024 \
		--epochs 50 --checkpoints 1,2,5,10,20 --labels examples/imagenette.txt --name $(NETWORK)-imagenette \
		--out $(OUT) --store $(OUT)/store

clean:  ## Remove .venv, caches and the demo's pictures
	rm -rf $(VENV) demo .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The two ONNX Runtimes are one module: a change of EXTRA takes the other one out first.
$(SERVICE): $(INPUTS) | $(BIN)/python
	@rm -f $(VENV)/.service-* $(VENV)/.demo-* $(VENV)/.dev-*
	@$(BIN)/python -m pip uninstall --quiet --yes $(if $(filter gpu,$(EXTRA)),onnxruntime,onnxruntime-gpu)
	@echo "setting up $(VENV): the service ($(EXTRA))"
	$(PIP_INSTALL) --editable '.[$(EXTRA)]'
	@touch $@

$(DEMO): $(SERVICE)
	@echo "setting up $(VENV): the demo's photos"
	$(PIP_INSTALL) --editable '.[$(EXTRA),demo]'
	@touch $@

# pytorchcv's ZFNet is what the importer of its weights is held against. It asks for torchvision, which its
# ZFNet does not import.
$(DEV): $(SERVICE)
	@echo "setting up $(VENV): the tools"
	$(PIP_INSTALL) --editable '.[$(EXTRA),demo,dev]'
	$(PIP_INSTALL) --no-deps pytorchcv
	@touch $@
