# Every target does its own set-up, in .venv. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# without .pyc files importing torch and scikit-learn takes three times as long
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test lint format try-wheel docs bench bench-codec tables clean

setup: $(VENV)/.ready-test $(VENV)/.ready-lint

$(BIN)/python:
	@if command -v uv >/dev/null; then uv venv -q --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV); fi

# the base, or one of the extras of pyproject.toml, in the versions of constraints.txt
$(VENV)/.ready-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) ($*): about a minute the first time"
	@if command -v uv >/dev/null; then \
	    uv pip install -q -p $(BIN)/python -c constraints.txt -e ".$(if $(filter base,$*),,[$*])"; \
	else \
	    $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".$(if $(filter base,$*),,[$*])"; \
	fi
	@touch $@

# for the tests that drive a page; they are skipped where none can be fetched
$(VENV)/.ready-browser: $(VENV)/.ready-test
	@if [ -x /usr/bin/chromium ] || $(BIN)/playwright install --only-shell chromium >/dev/null 2>&1; then touch $@; \
	else echo "No browser could be fetched: tests that need one are skipped"; fi

demo: $(VENV)/.ready-base
	$(BIN)/embudo demo

test: $(VENV)/.ready-test $(VENV)/.ready-browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

lint: $(VENV)/.ready-test $(VENV)/.ready-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.ready-lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# the package as it is installed, without the repository: PYTHON=python3.13 CONSTRAINTS=constraints-oldest.txt make try-wheel
CONSTRAINTS ?= constraints.txt
TRIED := build/try
try-wheel:
	rm -rf $(TRIED) && $(PYTHON) -m venv $(TRIED)/venv
	$(TRIED)/venv/bin/python -m pip wheel -q --no-deps -w $(TRIED) .
	$(TRIED)/venv/bin/python -m pip install -q -c $(CONSTRAINTS) $(TRIED)/embudo-*.whl
	cp tests/installed/smoke.py $(TRIED) && cd $(TRIED) && venv/bin/python smoke.py

# the site, in build/docs
docs: $(VENV)/.ready-test $(VENV)/.ready-docs
	$(BIN)/sphinx-build -q -W --keep-going docs build/docs
	@echo "build/docs/index.html"

# DATA: where mnist/ lies; see benchmarks/README.md
DATA ?= ../shared/data
bench: $(VENV)/.ready-test
	$(BIN)/python benchmarks/pca.py --data $(DATA)
	$(BIN)/python benchmarks/beyond_pca.py --data $(DATA)
	$(BIN)/python benchmarks/denoising.py --data $(DATA)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/explorer.py --data $(DATA)
	$(BIN)/python benchmarks/bench_peers.py --work W1 W2 W3 --json benchmarks/results/speed.json
	$(MAKE) tables

# JPEG XL is among the formats where pillow-jxl-plugin is installed
bench-codec: $(VENV)/.ready-test
	$(BIN)/python benchmarks/codec/rate_distortion.py --data $(DATA)
	$(BIN)/python benchmarks/codec/plot.py
	$(BIN)/python benchmarks/codec/narrow_domain.py --data $(DATA)
	$(BIN)/python benchmarks/codec/scaling.py
	$(BIN)/python benchmarks/codec/monotone.py --data $(DATA)
	$(MAKE) tables

tables: $(VENV)/.ready-test
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
