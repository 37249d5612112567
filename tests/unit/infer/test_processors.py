"""The same bytes on processors that are not at hand, under qemu-user (apt install qemu-user), and in tflite_runtime."""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.infer.tflite import PACKAGES
from tests.unit.infer.test_tflite import GOLDEN

ROOT = Path(__file__).resolve().parents[3]
FULL = pytest.mark.skipif("ONBOARD_FULL" not in os.environ, reason="on demand: ONBOARD_FULL=1")
CPUS = ("Haswell", pytest.param("Nehalem", marks=FULL))
"""AVX2 without VNNI, where pairs of uint8 x int8 products saturate at 16 bits; SSE alone."""
EXTREME = {
    "onnxruntime": "1149ee235f07f0ec306d00948fced83abb5b0e4a954df0d714ee1653d279af34",
    "ai_edge_litert": "375ba424f38700f9cfa6aafd3c96830de9d7afc4ef796d5d065603752c43b44c",
    "tflite_runtime": "cce3a4c2ce4198e1ca07d25272395ea04bf15acf8168de9eacbecca2872a0c7e",
}
"""Of tiles of 0 and 255 alone, which drive every sum as far as it goes."""
PROGRAM = """
import hashlib, sys
import numpy as np
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
bundle = load_bundle("s2-10")
for runtime in sys.argv[2:]:
    encoder = load_encoder(bundle, runtime)
    for what, tiles in np.load(sys.argv[1]).items():
        out = np.empty((len(tiles), bundle.latent), np.uint8)
        encoder.encode(tiles, out)
        print(encoder.engine, what, hashlib.sha256(out.tobytes()).hexdigest())
"""


def extreme():
    return np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (16, 10, 32, 32))


def runtimes(bundle):
    here = any(find_spec(package) for package in PACKAGES)
    return [load_encoder(bundle, runtime) for runtime in ("onnx", *(["tflite"] if here else []))]


def test_extreme_tiles_give_the_golden_bytes():
    bundle = load_bundle("s2-10")
    for encoder in runtimes(bundle):
        out = np.empty((16, bundle.latent), np.uint8)
        encoder.encode(extreme(), out)
        assert hashlib.sha256(out.tobytes()).hexdigest() == EXTREME[encoder.engine]


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 here: apt install qemu-user")
@pytest.mark.parametrize("cpu", CPUS)
def test_every_processor_gives_the_golden_bytes(cpu, tiles, tmp_path):
    bundle = load_bundle("s2-10")
    loaded = runtimes(bundle)
    if cpu == "Nehalem":  # without AVX tflite_runtime has other kernels and gives other bytes
        loaded = [encoder for encoder in loaded if encoder.engine != "tflite_runtime"]
    names = [encoder.artefact.runtime for encoder in loaded]
    np.savez(tmp_path / "tiles.npz", usual=tiles, extreme=extreme())
    told = subprocess.run(
        ["qemu-x86_64", "-cpu", cpu, sys.executable, "-c", PROGRAM, str(tmp_path / "tiles.npz"), *names],
        capture_output=True, text=True, timeout=300, cwd=ROOT, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(told) == 2 * len(names)
    for line in told:
        engine, what, digest = line.split()
        assert digest == {"usual": GOLDEN, "extreme": EXTREME}[what][engine]
