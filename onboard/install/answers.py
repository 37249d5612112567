"""The known answers of a package, run where it lies, before anything switches to it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from onboard.errors import BundleError
from onboard.infer.bundle import TILES, load_bundle
from onboard.infer.known import OTHER_ENGINE_STEPS, answer, whole_tiles
from onboard.infer.runtime import load_encoder
from onboard.install.package import Answer

PACKAGES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}


def check(folder: Path, answers: Iterable[Answer]) -> list[str]:
    """Run every artefact whose runtime is installed here; returns their keys.

    Raises:
        BundleError: an artefact cannot run or gives something else, has no known answer, or none could be tried.
    """
    bundle = load_bundle(str(folder.resolve()))
    known = {one.artefact: one for one in answers}
    here = [key for key, one in bundle.artefacts.items() if any(find_spec(name) for name in PACKAGES[one.runtime])]
    for key in here:
        if key not in known:
            raise BundleError(f"{folder}: {key} comes without a known answer")
        runtime, _, precision = key.partition("-")
        encoder = load_encoder(bundle, runtime, precision)
        given = answer(encoder, whole_tiles(bundle, (folder / TILES).read_bytes()), bundle.latent)
        expected = np.frombuffer((folder / known[key].file).read_bytes(), np.uint8)
        if expected.shape != given.reshape(-1).shape:
            raise BundleError(f"{folder}: {key} gives {given.size} numbers, {expected.size} are expected")
        off = int(np.abs(given.reshape(-1).astype(int) - expected).max())
        if off > known[key].steps + (OTHER_ENGINE_STEPS if encoder.engine == "tflite_runtime" else 0):
            raise BundleError(f"{folder}: {key} does not give its known answer here ({off} steps off)")
    if not here:
        raise BundleError(f"{folder}: no runtime for {', '.join(sorted(bundle.artefacts))} is installed")
    return sorted(here)
