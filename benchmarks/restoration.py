"""What restoring costs: latency and peak memory per tile and network, beside FSRCNN in float on the same core.

A tile is a block of `--side` px with its halo through all of the flight path, noise on 16 bits: no kernel here takes
a time that depends on it; "network" is the network alone, without a halo, as FSRCNN is measured. One thread; the best
of `--repeat` runs taken in turn, in processor time. Each network's peak memory is that of a process of its own which
restores three tiles. With `--profile`, what a tile takes is held against the profile's memory, and enhancing as many
cells as a run may (`DetectConfig.enhanced_cells`, four bands each) against `ENHANCE_SHARE` of the time and the energy
that the profile gives to a pass; exit code 1 where it is more. `--granule` takes a whole 10,980 x 10,980 band through
the real `onboard-enhance`, and compares a part of it with one inference over that part.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks.granule import FULL_SIDE
from onboard.budget import Budget, load_budget
from onboard.config import DetectConfig
from onboard.restore.enhance import BandScale, Noise, halo, restore, restore_image
from onboard.restore.model import Network, load_model, shipped_models
from onboard.sense.grid import CELL

FULL_SCALE = 4000.0
NOISE = Noise(60.0, 0.0)
ENHANCE_SHARE = 0.1
"""Of a pass over a granule, at the profile's deadline and joules for a row of cells."""
BANDS = 4
"""Of an enhanced region."""
PART = 1_024
"""Side of the part of the band that is inferred as one image."""
PEAK = """
import resource, sys
from benchmarks.restoration import tile_of
for _ in range(3):
    tile_of(sys.argv[1], sys.argv[2], int(sys.argv[3]))()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", action="append", help="name or folder (default: all that ship)")
    parser.add_argument("--side", type=int, default=256, help="of a tile, px of the input (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--profile", metavar="NAME|FILE", help="hold memory and time against these budgets")
    parser.add_argument("--granule", action="store_true", help="a whole band as well (minutes)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = args.model or shipped_models()
    keys = [
        (name, precision)
        for name in names
        for precision in ("int8", "fp32")
        if f"onnx-{precision}" in load_model(name).artefacts
    ]
    metrics: dict[str, Any] = {"threads": 1, "side_px": args.side}
    with tempfile.TemporaryDirectory(prefix="onboard-restoration-") as folder:
        # a process inherits the peak of the one that starts it: before torch is imported
        peaks = {f"{name}_{precision}": _peak(name, precision, args.side) for name, precision in keys}
        metrics |= {f"{key}_tile_peak_rss_mb": round(peak, 1) for key, peak in peaks.items()}
        metrics["restore_tile_peak_rss_mb"] = round(max(peaks.values()), 1)
        if args.granule:
            metrics |= granule("sr-x2-s2" if args.model is None else names[0], Path(folder))
        tiles = {f"{name}_{precision}": tile_of(name, precision, args.side) for name, precision in keys}
        tiles |= {f"{name}_{precision}_network": network_of(name, precision, args.side) for name, precision in keys}
        tiles["fsrcnn_x2_fp32"] = _fsrcnn(args.side, Path(folder))
        runs: dict[str, list[float]] = {key: [] for key in tiles}
        for _ in range(args.repeat):
            for key, tile in tiles.items():
                start = process_time()
                tile()
                runs[key].append(process_time() - start)
    best = {key: min(seconds) for key, seconds in runs.items()}
    for key, seconds in best.items():
        metrics[f"{key}_ms_per_tile"] = round(1000 * seconds, 2)
        metrics[f"{key}_s_per_megapixel"] = round(seconds / args.side**2 * 1e6, 3)
    for name, precision in keys:
        if load_model(name).scale == 2:
            for key in (f"{name}_{precision}", f"{name}_{precision}_network"):
                metrics[f"{key}_times_faster_than_fsrcnn"] = round(best["fsrcnn_x2_fp32"] / best[key], 2)
    if args.profile:
        metrics |= held_against(load_budget(args.profile), best, metrics["restore_tile_peak_rss_mb"], args.side)
    return {"metrics": metrics, "runs": runs}


def held_against(budget: Budget, best: Mapping[str, float], peak_mb: float, side: int) -> dict[str, float]:
    """What exceeds a profile's budget (0: nothing does), for the network that enhances and for those that denoise.

    Args:
        best: processor seconds of a tile, by `NAME_PRECISION`.
        peak_mb: of the hungriest network.
        side: of the tile, px.
    """
    found: dict[str, float] = {"profile_restore_peak_rss_mb": peak_mb}
    if budget.memory_mb is not None:
        found["over_memory_mb"] = round(max(peak_mb - budget.memory_mb, 0.0), 3)
    rows, tile_cells = FULL_SIDE // CELL, (side / CELL) ** 2
    config = DetectConfig()
    enhancer = f"{config.enhancer}_int8"
    if enhancer in best:
        seconds = best[enhancer] * BANDS * config.enhanced_cells / tile_cells
        found["profile_enhance_s_per_pass"] = round(seconds, 3)
        if budget.deadline_ms_per_row is not None:
            allowed = ENHANCE_SHARE * rows * budget.deadline_ms_per_row / 1e3
            found |= {"profile_enhance_s_allowed": round(allowed, 3)}
            found["over_enhance_s"] = round(max(seconds - allowed, 0.0), 3)
        if budget.energy_j_per_row is not None and budget.watts:
            joules = budget.energy_j(seconds, {"encode": seconds})
            allowed = ENHANCE_SHARE * rows * budget.energy_j_per_row
            found |= {"profile_enhance_j_per_pass": round(joules, 3), "profile_enhance_j_allowed": round(allowed, 3)}
            found["over_enhance_j"] = round(max(joules - allowed, 0.0), 3)
    for key, seconds in best.items():
        name = key.rsplit("_", 1)[0]
        if name in shipped_models() and load_model(name).noise is not None:
            row_ms = 1e3 * seconds * (FULL_SIDE // CELL) / tile_cells
            found[f"profile_{key}_ms_per_row"] = round(row_ms, 1)
    return found


def tile_of(name: str, precision: str, side: int) -> Callable[[], Any]:
    """One tile through the flight path: anchor, network, consistency; all that `onboard-enhance` does but for files."""
    network = Network(load_model(name), precision)
    whole = side + 2 * halo(network.model)
    bands = network.model.bands
    dn = np.random.default_rng(0).integers(200, 4000, (bands, whole, whole)).astype(np.uint16)
    scale = BandScale(FULL_SCALE, NOISE if network.model.noise is not None else None)
    return lambda: restore(network, dn, (scale,) * bands)


def network_of(name: str, precision: str, side: int) -> Callable[[], Any]:
    """The network alone on a tile without a halo."""
    network = Network(load_model(name), precision)
    count = network.model.bands + int(network.model.noise is not None)
    planes = np.random.default_rng(0).integers(0, 256, (count, side, side)).astype(np.uint8)
    return lambda: network.correct(planes)


def _peak(name: str, precision: str, side: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, name, precision, str(side)], capture_output=True, text=True, check=True
    )
    return int(done.stdout) * 1024 / 1e6


def _fsrcnn(side: int, folder: Path) -> Callable[[], Any]:
    """FSRCNN(56, 12, 4) x2 with fresh weights in ONNX Runtime, float, on the tile without a halo."""
    import onnxruntime as ort
    import torch

    from export.quiet import quiet
    from ground.models.fsrcnn import Fsrcnn

    path = folder / "fsrcnn.onnx"
    tile = torch.rand(1, 1, side, side)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet("torch.onnx", "onnxscript"):
        warnings.simplefilter("ignore")
        torch.onnx.export(Fsrcnn(1, 2).eval(), (tile,), path, input_names=["x"], verbose=False, dynamo=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": tile.numpy()})


def granule(name: str, folder: Path) -> dict[str, Any]:
    """A whole band through the command: seconds, peak memory, and the greatest difference to whole-image inference."""
    import rasterio

    source, target = folder / "band.tif", folder / "fine.tif"
    write = "import sys; from pathlib import Path; from benchmarks.restoration import band; band(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", write, str(source)], check=True, stderr=subprocess.DEVNULL)  # see `run`
    command = [sys.executable, "-m", "onboard.cli.enhance", str(source), str(target), "--model", name, "--json",
               "--full-scale", str(FULL_SCALE), "--compress", "none"]  # fmt: skip
    with (folder / "told.json").open("w") as told:
        child = subprocess.Popen(command, stdout=told, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}")
    report = json.loads((folder / "told.json").read_text())
    network = Network(load_model(name))
    around, first, factor = halo(network.model), FULL_SIDE - PART, network.model.scale
    outer = first - around - (first - around) % 2
    window = rasterio.windows.Window(outer, outer, FULL_SIDE - outer, FULL_SIDE - outer)  # the lower right corner
    with rasterio.open(source) as image, rasterio.open(target) as fine:
        whole = restore_image(network, image.read(window=window), (BandScale(FULL_SCALE),))
        cut = (first - outer) * factor
        part = fine.read(window=rasterio.windows.Window(first * factor, first * factor, PART * factor, PART * factor))
        size = fine.width
    return {
        "granule_side_px": FULL_SIDE,
        "granule_output_side_px": size,
        "granule_cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "restore_granule_peak_rss_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
        "granule_seam_dn": int(np.abs(part.astype(int) - whole[:, cut:, cut:]).max()),
        "granule_mean_deviation_dn": report["mean_deviation_dn"],
    }


def band(path: Path) -> None:
    """A band of a Sentinel-2 granule's size: fields of different brightness under noise, written block row by row."""
    import rasterio
    from rasterio.windows import Window

    rng = np.random.default_rng(0)
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": FULL_SIDE, "height": FULL_SIDE, "count": 1, "dtype": "uint16", "tiled": True,
        "blockxsize": 512, "blockysize": 512,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        for row in range(0, FULL_SIDE, 512):
            rows = min(512, FULL_SIDE - row)
            fields = rng.integers(400, 3500, (rows // 12 + 1, FULL_SIDE // 12 + 1))
            dn = np.kron(fields, np.ones((12, 12)))[:rows, :FULL_SIDE] + rng.normal(0, 40, (rows, FULL_SIDE))
            out.write(np.clip(dn, 1, 65535).astype(np.uint16)[None], window=Window(0, row, FULL_SIDE, rows))
