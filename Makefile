# What a person calls. `make demo` needs nothing but Python >= 3.11; `make test` makes the full environment.
PYTHON ?= python3
FULL := .venv
FLIGHT := .venv-flight
DEMO_OUT := out/demo

.PHONY: help demo test test-tflite-runtime lint types full-env flight-env clean

help:
	@echo "make demo    run onboard-detect on real imagery and on the simulator, flight dependencies alone"
	@echo "make test    full environment, every test"
	@echo "make lint    ruff;  make types: mypy --strict on onboard/"
	@echo "make clean   remove environments, builds and results"

# torch is pinned and installed first: any other way of asking for it pulls several GB of CUDA packages.
$(FULL)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --no-deps "nrt==0.2.1"
	touch $@

full-env: $(FULL)/.stamp

test: full-env
	$(FULL)/bin/python -m pytest

# tflite_runtime ended in 2023: Python 3.11 at most, NumPy 1. What must hold there too, in an environment of its own.
test-tflite-runtime:
	python3.11 -m venv .venv-tflite-runtime
	.venv-tflite-runtime/bin/pip install --quiet --disable-pip-version-check "numpy<2" "tflite-runtime==2.14.0" pytest cryptography onnxruntime "rasterio>=1.4,<2" pylibjpeg-openjpeg spacepackets
	PYTHONPATH=. .venv-tflite-runtime/bin/python -m pytest -p no:cacheprovider tests/unit/infer tests/unit/install/test_other_engine.py

lint: full-env
	$(FULL)/bin/ruff check .
	$(FULL)/bin/ruff format --check .

types: full-env
	$(FULL)/bin/mypy

# The flight environment is what a user gets: a built wheel and the flight dependencies.
$(FLIGHT)/.stamp: pyproject.toml $(shell find onboard -name '*.py' -o -path '*bundles/*' -type f)
	rm -rf build dist $(FLIGHT)
	$(PYTHON) -m venv $(FLIGHT)
	$(FLIGHT)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(FLIGHT)/bin/pip install --quiet --disable-pip-version-check dist/onboard_detect-*.whl
	$(FLIGHT)/bin/pip install --quiet --disable-pip-version-check --no-deps "nrt==0.2.1"
	touch $@

flight-env: $(FLIGHT)/.stamp

demo: flight-env
	@PYTHON_BIN=$(CURDIR)/$(FLIGHT)/bin OUT=$(CURDIR)/$(DEMO_OUT) bash tools/demo.sh

clean:
	rm -rf $(FULL) $(FLIGHT) .venv-tflite-runtime build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
