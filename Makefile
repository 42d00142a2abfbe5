# Everything runs from a fresh checkout: `make demo` and `make test` set up what they need.
PYTHON ?= python3
VENV ?= .venv
OUT ?= mnas-out
# A pip index that has CPU builds of torch, for machines where the default one would bring CUDA.
TORCH_INDEX ?=
DEMO_BUDGET ?= normal
PYTEST_ARGS ?=
DOCS ?= build/api

BIN := $(VENV)/bin
# Byte code is compiled when a module is first imported: most of what lies in the wheels never is.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
EXTRA_INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
DEMO_CONFIG := docs/examples/$(if $(filter small,$(DEMO_BUDGET)),demo-small,demo).toml

.PHONY: venv demo test lint types unit test-full fuzz test-ray docs clean

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mnas needs Python 3.11 or later; name one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(EXTRA_INDEX) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

demo: venv
	$(BIN)/mnas search --config $(DEMO_CONFIG) --out $(OUT)

test: lint types unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

unit: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow" $(PYTEST_ARGS)

# What `test` leaves out: whole trainings, builds and searches, interrupted and resumed.
test-full: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 --dist loadfile -m slow $(PYTEST_ARGS)

# What reads files and texts of others, with 20,000 damaged ones each; most of an hour.
fuzz: $(VENV)/.installed-dev
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -n 2 -m "fuzz and not slow" $(PYTEST_ARGS)

# A cluster of two nodes on loopback. Ray is large and nothing else needs it, so it has an environment of its own, which
# sees what is in the other one.
$(VENV)-ray/.installed: $(VENV)/.installed-dev
	$(PYTHON) -m venv $(VENV)-ray
	@packages='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		echo "import site; site.addsitedir('$$($(BIN)/python -c "$$packages")')" \
		> "$$($(VENV)-ray/bin/python -c "$$packages")/mnas.pth"
	$(VENV)-ray/bin/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt ray
	@touch $@

test-ray: $(VENV)-ray/.installed
	$(VENV)-ray/bin/python -m pytest -n 0 -m ray $(PYTEST_ARGS)

# Pages of the API, made of the docstrings; they are not committed.
$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/write_api.py $(DOCS)

clean:
	rm -rf $(VENV) $(VENV)-ray .mypy_cache .pytest_cache .ruff_cache .hypothesis
