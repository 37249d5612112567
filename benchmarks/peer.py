"""Against RaVAEn as research code runs it: the real command and two torch pipelines on the same passes, in one run.

Both follow Ruzicka et al. (2022): log reflectance scaled to -1..1 by fixed bounds, the small VAE's mean in float32, and
the least cosine distance to the latents of the past passes. `peer` opens the file anew for each tile of each pass, as
the published loader does, and encodes the past again; `fair_peer` reads whole rows of tiles, encodes them at once and
keeps the latents of the past in an array. Neither masks, normalises by scene, registers, stores, resumes, or chooses
what goes down. Weights are random, which costs the same.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import granule
from benchmarks.command import copied, detect, warm
from onboard.sense.grid import CELL

LOW, HIGH = 4.0, 9.0
"""Bounds of ln(DN) that become -1 and 1."""
BATCH = 64

F32 = NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=granule.FULL_SIDE, help="px (default: %(default)s)")
    parser.add_argument("--history", type=int, default=3, help="past passes (default: %(default)s)")
    parser.add_argument("--tiles", type=int, default=512, help="that the slow peer is timed on (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=16, help="of tiles, for the fair one (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="medians of so many runs (default: %(default)s)")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    passes = granule.prepare(args.side, "tiled", args.history + 1)
    files = [next(folder.glob("*.tif")) for folder in passes]
    network = _network()
    ours, slow, fair = [], [], []
    with tempfile.TemporaryDirectory(prefix="onboard-peer-") as name:
        seeded = Path(name) / "seeded"
        for past in passes[:-1]:
            detect([past], Path(name) / "past", seeded, None, ["--bundle", args.bundle])
        for number in range(args.repeat):  # side by side: whatever disturbs the machine disturbs all three
            store = copied(seeded, Path(name) / f"store-{number}")
            for folder in passes:
                warm(folder)
            ours.append(detect([passes[-1]], Path(name) / "out", store, None, ["--bundle", args.bundle]).tiles_per_s)
            slow.append(_tile_by_tile(files, network, args.tiles))
            fair.append(_row_by_row(files, network, args.rows))
            shutil.rmtree(store)
    medians = [statistics.median(rates) for rates in (ours, slow, fair)]
    metrics = {
        "history": args.history,
        "side_px": args.side,
        "tiles_per_s": round(medians[0]),
        "peer_tiles_per_s": round(medians[1], 1),
        "fair_peer_tiles_per_s": round(medians[2]),
        "peer_ratio": round(statistics.median(a / b for a, b in zip(ours, slow, strict=True)), 1),
        "fair_peer_ratio": round(statistics.median(a / b for a, b in zip(ours, fair, strict=True)), 2),
    }
    return {"metrics": metrics, "runs": {"ours": ours, "peer": slow, "fair_peer": fair}}


def _network() -> Any:
    import torch

    from ground.models.ravaen import Ravaen, RavaenConfig

    torch.manual_seed(0)
    return Ravaen(RavaenConfig(bands=len(granule.BANDS))).encoder.eval()


def _encode(network: Any, tiles: F32) -> F32:
    import torch

    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(tiles))[0].numpy())


def _scaled(dn: NDArray[np.uint16]) -> F32:
    log = np.log(np.maximum(dn, 1).astype(np.float32))
    return np.asarray(np.clip((log - LOW) * (2 / (HIGH - LOW)) - 1, -1, 1), dtype=np.float32)


def _least_cosine(now: F32, past: Sequence[F32]) -> F32:
    def unit(z: F32) -> F32:
        return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12))

    here = unit(now)
    return np.asarray(np.min([1 - (here * unit(one)).sum(axis=1) for one in past], axis=0))


def _tile_by_tile(files: Sequence[Path], network: Any, count: int) -> float:
    """Tiles/s of the pipeline that opens a file for each tile of each pass."""
    import rasterio
    from rasterio.windows import Window

    start = perf_counter()
    for first in range(0, count, BATCH):
        latents = []
        for file in files:
            tiles = []
            for number in range(first, min(first + BATCH, count)):
                with rasterio.open(file) as image:
                    row, col = divmod(number, image.width // CELL)
                    tiles.append(_scaled(image.read(window=Window(col * CELL, row * CELL, CELL, CELL))))
            latents.append(_encode(network, np.stack(tiles)))
        _least_cosine(latents[-1], latents[:-1])
    return count / (perf_counter() - start)


def _row_by_row(files: Sequence[Path], network: Any, rows: int) -> float:
    """Tiles/s of the pipeline that reads rows of tiles and remembers the latents of the past."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(files[-1]) as image:
        cols, rows = image.width // CELL, min(rows, image.height // CELL)
        past = np.random.default_rng(0).normal(size=(len(files) - 1, rows * cols, 128)).astype(np.float32)
        start = perf_counter()
        for row in range(rows):
            dn = image.read(window=Window(0, row * CELL, cols * CELL, CELL))
            tiles = _scaled(dn).reshape(len(dn), CELL, cols, CELL).transpose(2, 0, 1, 3)
            now = _encode(network, np.ascontiguousarray(tiles))
            _least_cosine(now, past[:, row * cols : (row + 1) * cols])
        return rows * cols / (perf_counter() - start)
