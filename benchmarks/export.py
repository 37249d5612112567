"""Every artefact of the shipped bundles side by side: file size, parity and AP loss as measured at export, speed here.

Tiles are noise on the integer input's scale: no kernel here takes a time that depends on them. One thread; a figure is
the best of `--repeat` runs taken in turn, since what else the machine does only ever slows a run down: tiles/s by the
wall, us_per_tile in processor time. `--budgets FILE` keeps the latter for `onboard-export --budgets @FILE`; `--nodes`
lists what ONNX Runtime spends on each node.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks import machine
from onboard.errors import BundleError
from onboard.infer.bundle import Artefact, load_bundle, shipped_bundles
from onboard.infer.runtime import Encoder, fastest, load_encoder
from onboard.sense.tiles import channels_last

COLUMNS = ("bytes", "cosine_min", "cosine_median", "ap_lost", "tiles_per_s", "us_per_tile")
BATCH = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", action="append", help="name or folder (default: all that ship)")
    parser.add_argument("--tiles", type=int, default=2_048, help="per run (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--budgets", type=Path, metavar="FILE", help="write what each artefact takes, as JSON")
    parser.add_argument("--nodes", action="store_true", help="also the microseconds a tile of each ONNX node")


def run(args: argparse.Namespace) -> dict[str, Any]:
    metrics: dict[str, Any] = {"threads": 1}
    details: dict[str, Any] = {}
    budgets: dict[str, Any] = {}
    for name in args.bundle or shipped_bundles():
        bundle = load_bundle(name)
        folder = next(iter(bundle.artefacts.values())).path.parent
        parity = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
        loaded, missing = {}, {}
        for key in sorted(bundle.artefacts):
            try:
                runtime, _, precision = key.partition("-")
                loaded[key] = load_encoder(bundle, runtime, precision)
            except BundleError as error:
                missing[key] = str(error)
        runs: dict[str, list[tuple[float, float]]] = {key: [] for key in loaded}
        for _ in range(args.repeat):
            for key, encoder in loaded.items():
                runs[key].append(_once(encoder, args.tiles, len(bundle.bands), bundle.latent))
        for key, times in runs.items():
            wall, cpu = min(t[0] for t in times), min(t[1] for t in times)
            figures = [parity[key]["cosine_min"], parity[key]["cosine_median"], _lost(parity, key)]
            row = [bundle.artefacts[key].path.stat().st_size, *figures, round(args.tiles / wall)]
            for column, value in zip(COLUMNS, [*row, round(cpu / args.tiles * 1e6, 1)], strict=True):
                if value is not None:
                    metrics[f"{bundle.name}_{key}_{column}"] = round(value, 5)
            engine = loaded[key].engine
            budgets.setdefault(bundle.name, {})[key] = {
                "us_per_tile": round(cpu / args.tiles * 1e6, 1), "engine": engine, "machine": machine.describe()["cpu"],
            }  # fmt: skip
        details[bundle.name] = {"runs_wall_cpu_s": runs, "missing": missing}
        if args.nodes:
            details[bundle.name]["us_per_tile_by_node"] = {
                key: nodes(encoder.artefact, len(bundle.bands))
                for key, encoder in loaded.items()
                if encoder.artefact.runtime == "onnx"
            }
    if args.budgets:
        args.budgets.write_text(json.dumps(budgets, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return {"metrics": metrics, "runs": details}


def _lost(parity: dict[str, Any], key: str) -> float | None:
    """Points of average precision (0..100) that INT8 lost against fp32 by the flight path, where it was measured."""
    found = [
        value
        for figures in parity.get("detection", {}).values()
        if isinstance(figures, dict)
        for name, value in figures.items()
        if name in (f"surprise lost by {key}", "surprise lost by int8" if key == "onnx-int8" else key)
    ]
    return None if not found else round(100 * max(found), 2)


def _tiles(encoder: Encoder, count: int, bands: int) -> Any:
    tiles = np.random.default_rng(0).integers(0, 256, (count, bands, 32, 32)).astype(np.uint8)
    return fastest(encoder, tiles) if encoder.input_dtype == np.uint8 else (tiles.astype(np.float32) - 128) / 24


def _once(encoder: Encoder, count: int, bands: int, latent: int) -> tuple[float, float]:
    """Seconds (wall, processor) for `count` tiles."""
    fed = _tiles(encoder, count, bands)
    out = np.empty((count, latent), np.uint8)
    encoder.encode(fed[:BATCH], out[:BATCH])
    start, used = perf_counter(), process_time()
    encoder.encode(fed, out)
    return perf_counter() - start, process_time() - used


def nodes(artefact: Artefact, bands: int, calls: int = 30) -> dict[str, float]:
    """Median microseconds a tile of each node of the graph that ONNX Runtime runs here, in order (wall)."""
    import onnxruntime as ort

    tiles = np.random.default_rng(0).integers(0, 256, (BATCH, bands, 32, 32)).astype(np.uint8)
    fed = tiles if artefact.input.dtype == "uint8" else (tiles.astype(np.float32) - 128) / 24
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(artefact.path), options, providers=["CPUExecutionProvider"])
        fed = channels_last(fed, session.get_inputs()[0].shape[3]) if artefact.input.dtype == "uint8" else fed
        for _ in range(calls):
            session.run(None, {artefact.input.name: fed})
        found: dict[str, list[float]] = defaultdict(list)
        for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                shape = next(iter(event["args"].get("output_type_shape", [{}])[0].values()), [])
                label = f"{event['args']['op_name']} {'x'.join(str(n) for n in shape[1:])}"
                found[label].append(event["dur"] / BATCH)
    return {label: round(median(times), 2) for label, times in found.items()}
