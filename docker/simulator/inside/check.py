"""Runs inside the simulated machine and on the host alike: hashes of what a processor must not change.

For each runtime: SHA-256 of the INT8 latents of fixed tiles by every bundle, the scores of every pass and cell of the
stream, and SHA-256 of every product's bytes. Prints one JSON object. Touches only the folder it is told to work in.

    python check.py STREAM WORK [RUNTIME ...]
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import numpy as np
import rasterio

from onboard.cli.detect import main as detect
from onboard.infer.bundle import load_bundle, shipped_bundles
from onboard.infer.runtime import load_encoder
from onboard.sense.grid import CELL

TILES = 64


def fixed_tiles(bands: int) -> np.ndarray:
    """uint8 (TILES, bands, 32, 32): smooth and rough ones, over the whole range, the same on every machine."""
    index = np.arange(TILES * bands * CELL * CELL, dtype=np.uint64)
    noise = (index * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) >> np.uint64(56)
    ramp = (index // np.uint64(7)) % np.uint64(256)
    rough = (index // np.uint64(bands * CELL * CELL)) % np.uint64(4)
    mixed = (noise * rough + ramp * (np.uint64(3) - rough)) // np.uint64(3)
    return mixed.astype(np.uint8).reshape(TILES, bands, CELL, CELL)


def latents(runtime: str) -> dict[str, str]:
    """By bundle: SHA-256 of the latents of the fixed tiles."""
    found = {}
    for name in shipped_bundles():
        bundle = load_bundle(name)
        out = np.empty((TILES, bundle.latent), dtype=np.uint8)
        load_encoder(bundle, runtime, "int8").encode(fixed_tiles(len(bundle.bands)), out)
        found[name] = hashlib.sha256(out.tobytes()).hexdigest()
    return found


def flown(runtime: str, stream: Path, work: Path) -> dict[str, object]:
    """`onboard-detect` on the stream: hashes of scores and products, and the scores themselves for whoever compares."""
    out = work / runtime
    code = detect([str(stream), "--out", str(out), "--runtime", runtime, "--budget-mb", "0.2", "--threads", "1"])
    if code:
        raise SystemExit(f"onboard-detect ended with {code}")
    products = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "products").glob("*.obp")}
    return {"scores": scores(out / "score.tif"), "products": dict(sorted(products.items()))}


def scores(raster: Path) -> dict[str, str]:
    """By pass: the scores of all cells, row by row, as hexadecimal float32 (big-endian)."""
    with rasterio.open(raster) as dataset:
        names = [name or str(index) for index, name in enumerate(dataset.descriptions)]
        return {name: band.astype(">f4").tobytes().hex() for name, band in zip(names, dataset.read(), strict=True)}


def main(argv: list[str]) -> int:
    """Entry point."""
    stream, work, runtimes = Path(argv[0]), Path(argv[1]), argv[2:] or ["onnx", "tflite"]
    found = {runtime: {"latents": latents(runtime)} | flown(runtime, stream, work) for runtime in runtimes}
    print(json.dumps({"machine": platform.machine(), **found}, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
