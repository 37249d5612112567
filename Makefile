# What a person calls. `make demo` needs nothing but Python >= 3.11; `make test` makes the full environment.
PYTHON ?= python3
FULL := .venv
FLIGHT := .venv-flight
DEMO_OUT := out/demo
# Compiled when the package is installed, editable or not; see setup.py.
KERNELS := $(wildcard onboard/native/*.c onboard/native/*.h)

.PHONY: help demo test test-tflite-runtime lint types full-env flight-env clean sim-env sim-image sim-kernel sim-quick sim-cost flash boot

help:
	@echo "make demo    run onboard-detect on real imagery and on the simulator, flight dependencies alone"
	@echo "make test    full environment, every test"
	@echo "make lint    ruff;  make types: mypy --strict on onboard/"
	@echo "make sim-quick              latents, scores, products of an arm64 processor equal to this machine's (qemu-user)"
	@echo "make sim-cost               ARM instructions per tile by stage, against the stored figures"
	@echo "make flash boot PROFILE=P   a card or disk, booted in qemu: raspi3b (default), virt-512, pi4, pi5, orin"
	@echo "make clean   remove environments, builds and results"

# torch is pinned and installed first: any other way of asking for it pulls several GB of CUDA packages.
$(FULL)/.stamp: pyproject.toml setup.py $(KERNELS)
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --no-deps "nrt==0.2.1"
	touch $@

full-env: $(FULL)/.stamp

test: full-env
	$(FULL)/bin/python -m pytest

# tflite_runtime ended in 2023: Python 3.11 at most, NumPy 1. The runtimes' tests, in an environment of its own.
test-tflite-runtime:
	python3.11 -m venv .venv-tflite-runtime
	.venv-tflite-runtime/bin/pip install --quiet --disable-pip-version-check "numpy<2" "tflite-runtime==2.14.0" pytest cryptography onnxruntime "rasterio>=1.4,<2" pylibjpeg-openjpeg spacepackets
	PYTHONPATH=. .venv-tflite-runtime/bin/python -m pytest -p no:cacheprovider tests/unit/infer

lint: full-env
	$(FULL)/bin/ruff check .
	$(FULL)/bin/ruff format --check .

types: full-env
	$(FULL)/bin/mypy

# The flight environment is what a user gets: a built wheel and the flight dependencies.
$(FLIGHT)/.stamp: pyproject.toml setup.py $(KERNELS) $(shell find onboard -name '*.py' -o -path '*bundles/*' -type f)
	rm -rf build dist $(FLIGHT)
	$(PYTHON) -m venv $(FLIGHT)
	$(FLIGHT)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(FLIGHT)/bin/pip install --quiet --disable-pip-version-check dist/onboard_detect-*.whl
	$(FLIGHT)/bin/pip install --quiet --disable-pip-version-check --no-deps "nrt==0.2.1"
	touch $@

flight-env: $(FLIGHT)/.stamp

demo: flight-env
	@PYTHON_BIN=$(CURDIR)/$(FLIGHT)/bin OUT=$(CURDIR)/$(DEMO_OUT) bash tools/demo.sh

# The simulator: an arm64 root without root rights, qemu-user and qemu-system. SIM holds the same package versions on x86.
SIM := .venv-sim
SIM_ROOT := out/sim/.root
SIM_KERNEL := out/sim/.kernel
SIM_SCRIPTS := docker/simulator
PROFILE ?= raspi3b

$(SIM)/.stamp: pyproject.toml setup.py $(KERNELS) docker/simulator/wheels.txt $(shell find onboard -name '*.py' -o -path '*bundles/*' -type f)
	rm -rf build $(SIM)
	$(PYTHON) -m venv $(SIM)
	$(SIM)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $(SIM_SCRIPTS)/wheels.txt
	$(SIM)/bin/pip install --quiet --disable-pip-version-check --no-deps .
	touch $@

sim-env: $(SIM)/.stamp

$(SIM_ROOT): $(SIM)/.stamp $(addprefix $(SIM_SCRIPTS)/,image.py stream.py debian.py inside/run.py inside/onboard-init)
	$(SIM)/bin/python $(SIM_SCRIPTS)/image.py
	touch $@

$(SIM_KERNEL): $(addprefix $(SIM_SCRIPTS)/,kernel.py initramfs.py debian.py inside/init inside/config.txt inside/cmdline.txt) | $(SIM)/.stamp
	$(SIM)/bin/python $(SIM_SCRIPTS)/kernel.py
	touch $@

sim-image: $(SIM_ROOT)

sim-kernel: $(SIM_KERNEL)

# Where qemu-user or mmdebstrap is absent this is skipped with a line that says so.
sim-quick:
	@absent=$$($(PYTHON) $(SIM_SCRIPTS)/host.py qemu-aarch64 mmdebstrap) || \
		{ echo "sim-quick: skipped: $$absent"; exit 0; }; \
	$(MAKE) --no-print-directory $(SIM_ROOT) && $(SIM)/bin/python $(SIM_SCRIPTS)/quick.py

# Likewise without C compilers for this machine and for the other.
sim-cost:
	@absent=$$($(PYTHON) $(SIM_SCRIPTS)/host.py qemu-aarch64 mmdebstrap cc aarch64-linux-gnu-gcc) || \
		{ echo "sim-cost: skipped: $$absent"; exit 0; }; \
	$(MAKE) --no-print-directory $(SIM_ROOT) && $(SIM)/bin/python $(SIM_SCRIPTS)/cost.py

flash: $(SIM_ROOT) $(SIM_KERNEL)
	$(SIM)/bin/python $(SIM_SCRIPTS)/flash.py $(PROFILE)

boot: | $(SIM)/.stamp
	$(SIM)/bin/python $(SIM_SCRIPTS)/boot.py $(PROFILE)

clean:
	rm -rf $(FULL) $(FLIGHT) $(SIM) .venv-tflite-runtime build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
