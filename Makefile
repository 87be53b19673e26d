# Every target works on a fresh clone: each makes .venv first when it is missing.
PYTHON ?= python3.11
BIN := .venv/bin
RUN ?= box
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo serve test test-fast test-cluster test-kernels fuzz load-test native cubins bench ablation check format clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ \t/' | expand -t 14

setup: .venv/ready  ## make .venv and install everything into it

.venv/ready: pyproject.toml $(wildcard kernels/spt_kernels/*.h kernels/spt_kernels/*/*.cpp kernels/spt_kernels/*/*.h)
	@command -v $(PYTHON) >/dev/null || { echo "setup: '$(PYTHON)' is missing; install Python 3.11 to 3.13, or name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "setup: '$(PYTHON)' is $$($(PYTHON) -V); Python 3.11 to 3.13 is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "setup: '$(PYTHON)' lacks venv; on Debian: apt-get install python3-venv"; exit 1; }
	@command -v g++ >/dev/null || { echo "setup: g++ is missing (DeepSpeed compiles a part of itself); on Debian: apt-get install g++"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup      ## people, shards, training, evaluation, endpoint: runs/demo. DATA=<folder> for real photos, VGG=<npz> for trained features
	$(BIN)/spt demo $(if $(DATA),--data $(DATA)) $(if $(VGG),--set networks.features.weights=$(VGG))

serve: setup     ## serve the model in the box on loopback, or a trained run: make serve RUN=runs/demo
	$(BIN)/spt serve $(RUN)

test: setup check  ## all checks and tests
	$(BIN)/pytest -m 'not thorough and not cluster'

test-cluster: setup  ## every fault and every change of size, on Ray clusters of this machine too
	$(BIN)/pytest -m 'cluster or faults'

test-kernels: setup  ## every proof of the kernels, and the planner against real steps, the long ones too
	$(BIN)/pytest tests/kernels tests/golden tests/plan

test-fast: setup ## the tests that start no further processes
	$(BIN)/pytest -m 'not slow and not thorough and not cluster'

fuzz: setup      ## 10,000 hostile requests to the endpoint, and 10,000 mutated samples through packing and reading
	FUZZ=10000 $(BIN)/pytest -s tests/serve/test_fuzz.py tests/data/test_fuzz_data.py

load-test: setup ## the endpoint under load and faults (10 minutes): results/load.json and .png, docs/load.md
	$(BIN)/python -m tests.load

native: setup    ## build the compiled CPU forms again
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

cubins: setup    ## compile every kernel for four GPUs, none needed, and renew the table in kernels/README.md
	$(BIN)/python -m spt_kernels.proof.cubins --markdown kernels/README.md

bench: setup     ## time every kernel, and packing at scale: results/bench.json, .png and pack.json, kernels/README.md. DATA=<folder>
	$(BIN)/spt bench kernels all $(if $(DATA),--data $(DATA)) --json results/bench.json --plot results/bench.png --markdown kernels/README.md
	$(BIN)/spt bench pack --json results/pack.json

ablation: setup  ## the quality benchmark (hours; goes on where it stopped): results/ablation.json, docs/ablation.jpg, README. VGG=<npz>
	$(BIN)/spt ablation $(if $(VGG),--features $(VGG)) --json results/ablation.json --plot docs/ablation.jpg --markdown README.md

check: setup     ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: setup    ## mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:           ## remove .venv and build files; runs/ stays
	rm -rf .venv build *.egg-info
