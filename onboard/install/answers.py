"""Known answers: the tiles that came with a package, run where it lies, must give the latents that came with it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from onboard.errors import BundleError
from onboard.infer.bundle import Bundle, load_bundle
from onboard.infer.runtime import load_encoder
from onboard.install.package import TILES, Answer
from onboard.sense.grid import CELL

PACKAGES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}


def check(folder: Path, answers: Iterable[Answer]) -> list[str]:
    """Run every artefact whose runtime is installed here; returns their keys.

    Raises:
        BundleError: an artefact cannot run or gives something else, has no known answer, or none could be tried.
    """
    bundle = load_bundle(str(folder.resolve()))
    known = {answer.artefact: answer for answer in answers}
    here = [key for key, one in bundle.artefacts.items() if any(find_spec(name) for name in PACKAGES[one.runtime])]
    for key in here:
        if key not in known:
            raise BundleError(f"{folder}: {key} comes without a known answer")
        given = run(bundle, key, (folder / TILES).read_bytes())
        expected = np.frombuffer((folder / known[key].file).read_bytes(), np.uint8)
        if expected.shape != given.reshape(-1).shape:
            raise BundleError(f"{folder}: {key} gives {given.size} numbers, {expected.size} are expected")
        off = int(np.abs(given.reshape(-1).astype(int) - expected).max())
        if off > known[key].steps:
            raise BundleError(f"{folder}: {key} does not give its known answer here ({off} steps off)")
    if not here:
        raise BundleError(f"{folder}: no runtime for {', '.join(sorted(bundle.artefacts))} is installed")
    return sorted(here)


def run(bundle: Bundle, key: str, tiles: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 latents (n, latent) of uint8 tiles (n, B, 32, 32) by one artefact."""
    shape = (len(bundle.bands), CELL, CELL)
    count = len(tiles) // int(np.prod(shape))
    if count == 0 or len(tiles) != count * int(np.prod(shape)):
        raise BundleError(f"bundle {bundle.name}: {len(tiles)} bytes of known tiles are not whole tiles of {shape}")
    stored = np.frombuffer(tiles, np.uint8).reshape(count, *shape)
    runtime, _, precision = key.partition("-")
    encoder = load_encoder(bundle, runtime, precision)
    # a float network sees exactly what the integer one sees (onboard/change/look.py)
    fed = stored if encoder.input_dtype == np.uint8 else (stored.astype(np.float32) - 128) * np.float32(1 / 24)
    out = np.empty((count, bundle.latent), np.uint8)
    encoder.encode(np.ascontiguousarray(fed), out)
    return out
