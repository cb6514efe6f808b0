# Everything a developer runs. On a fresh machine: `make demo` or `make test`; each sets itself up first.
#
#   make demo         train, export, measure and talk: the whole road in minutes     make bench   the benchmarks
#   make test         lint, types and the fast tests                                 make docs    build the documentation
#   make test-full    the slow tests as well                                         make lint    style and types only
#   make test-device  the wheel where there is no PyTorch
#   make quality      train every recipe and write what it reaches: benchmarks/quality/README.md
#   make requantize   the same table's int8 and int4 anew, without training
#   make web          the browser's engine, for the tests of treadle.js (needs npm)
#   make test-arm64, make test-avx2   what bundles promise, on emulated processors      make clean   forget what was made
#
# Variables, e.g. `make test PYTHON=python3.13 ENGINE=onnxruntime==1.23.2`:
#   PYTHON          the Python (3.11 or later) that the virtual environment is made from
#   VENV            where that environment lives
#   TORCH           what pip installs for PyTorch: a requirement, a file or a URL (the version stands in constraints.txt)
#   PIP_TORCH_ARGS  where pip finds it, e.g. `--index-url …/cpu` for a build without CUDA
#   ENGINE          another onnxruntime than the one in constraints.txt
#   WEB_ENGINE      what `make web` installs
#   PYTEST_ARGS     further arguments of pytest
#   QUALITY_ARGS    arguments of `make quality` and `make requantize`: the names of recipes
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch
PIP_TORCH_ARGS ?=
ENGINE ?=
WEB_ENGINE ?= onnxruntime-web@1.30.0
PYTEST_ARGS ?=
QUALITY_ARGS ?=

BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN := $(BIN)/python -m
PIP := $(RUN) pip install --disable-pip-version-check --quiet
READY := $(VENV)/ready
DOCS_READY := $(VENV)/docs-ready

.PHONY: demo test test-full test-device test-arm64 test-avx2 web bench quality requantize lint docs clean setup
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/treadle demo

test: lint
	$(RUN) pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

test-full: lint
	$(RUN) pytest -n 2 --dist loadgroup -m "slow or not slow" $(PYTEST_ARGS)

test-device: $(READY)
	tests/device/run.sh $(BIN)/python

test-arm64: PROCESSOR := arm64
test-avx2: PROCESSOR := haswell
test-arm64 test-avx2: $(READY)
	$(RUN) pytest -m slow tests/emulation -k $(PROCESSOR) $(PYTEST_ARGS)

lint: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

web:
	npm install --prefix build/web --ignore-scripts --no-audit --no-fund "$(WEB_ENGINE)"

bench: $(READY)
	$(RUN) benchmarks
	$(RUN) benchmarks.peers

quality: $(READY)
	$(RUN) benchmarks.quality $(QUALITY_ARGS)

requantize: $(READY)
	$(RUN) benchmarks.quality --requantize $(QUALITY_ARGS)

docs: $(DOCS_READY)
	$(RUN) mkdocs build --strict

setup: $(READY)

# PyTorch goes first and by itself, so that nothing that needs it later chooses another build of it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Treadle needs Python 3.11 or later; $(PYTHON) is older: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) "pip>=25.1"
	$(PIP) -c constraints.txt $(PIP_TORCH_ARGS) "$(TORCH)"
	$(PIP) -c constraints.txt --group dev -e ".[all]"
	$(if $(ENGINE),$(PIP) "$(ENGINE)")
	@touch $@

$(DOCS_READY): $(READY)
	$(PIP) -c constraints.txt --group docs
	@touch $@

clean:
	rm -rf build dist site $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
