"""Every artefact of the shipped bundles side by side: file size, parity as measured at export, tiles/s in its runtime.

Tiles are noise on the integer input's scale: no kernel here takes a time that depends on them. One thread; a figure is
the best of `--repeat` runs taken in turn, since what else the machine does only ever slows a run down.
"""

from __future__ import annotations

import argparse
import json
from time import perf_counter
from typing import Any

import numpy as np

from onboard.errors import BundleError
from onboard.infer.bundle import SHIPPED, load_bundle, shipped_bundles
from onboard.infer.runtime import Encoder, load_encoder

COLUMNS = ("bytes", "cosine_min", "cosine_median", "tiles_per_s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", action="append", help="default: all that ship")
    parser.add_argument("--tiles", type=int, default=2_048, help="per run (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    metrics: dict[str, Any] = {"threads": 1}
    details: dict[str, Any] = {}
    for name in args.bundle or shipped_bundles():
        bundle = load_bundle(name)
        parity = json.loads((SHIPPED / name / "parity.json").read_text(encoding="utf-8"))
        loaded, missing = {}, {}
        for key in sorted(bundle.artefacts):
            try:
                runtime, _, precision = key.partition("-")
                loaded[key] = load_encoder(bundle, runtime, precision)
            except BundleError as error:
                missing[key] = str(error)
        speeds: dict[str, list[float]] = {key: [] for key in loaded}
        for _ in range(args.repeat):
            for key, encoder in loaded.items():
                speeds[key].append(_tiles_per_s(encoder, args.tiles, len(bundle.bands), bundle.latent))
        for key, runs in speeds.items():
            row = [bundle.artefacts[key].path.stat().st_size, parity[key]["cosine_min"], parity[key]["cosine_median"]]
            for column, value in zip(COLUMNS, [*row, round(max(runs))], strict=True):
                metrics[f"{name}_{key}_{column}"] = round(value, 5)
        details[name] = {"tiles_per_s": speeds, "missing": missing}
    return {"metrics": metrics, "runs": details}


def _tiles_per_s(encoder: Encoder, count: int, bands: int, latent: int) -> float:
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (count, bands, 32, 32)).astype(np.uint8)
    fed = tiles if encoder.input_dtype == np.uint8 else (tiles.astype(np.float32) - 128) / 24
    out = np.empty((count, latent), np.uint8)
    encoder.encode(fed[:64], out[:64])
    start = perf_counter()
    encoder.encode(fed, out)
    return count / (perf_counter() - start)
