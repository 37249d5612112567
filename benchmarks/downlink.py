"""What the ground knows after so many bytes: share of the truly changed area delivered, by the order of the queue.

Simulated disasters (`sim:`), newest pass: every cell is coded without loss, and sent in one of these orders.

    ours    value per byte: the score over the estimated bytes, as the queue ranks
    score   the score alone
    fifo    as the pass showed them, row by row
    random  the mean of 20 shuffles
    oracle  the true changed area over the true bytes

Bytes are those of the products, as a share of all cells of the scene; a cell's changed area counts once its product is
whole. Unknown cells go last. `share_of_oracle_auc` compares areas under these curves.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.curves import draw
from onboard.downlink.choose import value_of
from onboard.downlink.estimate import estimate_bytes
from onboard.downlink.product import Product, encode
from onboard.sense.grid import CELL, Window

DISASTERS = ("fire", "flood", "landslide", "storm")
AT = 0.1
SHUFFLES = 20
F64 = NDArray[np.float64]
STEPS = np.linspace(0, 1, 1001)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3], help="worlds, each with every disaster")
    parser.add_argument("--disasters", nargs="+", default=list(DISASTERS), choices=DISASTERS)
    parser.add_argument("--size", type=int, default=768, help="side of a scene in pixels of 10 m")
    parser.add_argument("--bundle", default="s2-10")
    parser.add_argument("--plot", type=Path, help="draw the mean curves into this SVG file")


def run(args: argparse.Namespace) -> dict[str, Any]:
    scenes: dict[str, dict[str, Any]] = {}
    curves: dict[str, list[F64]] = {}
    for kind in args.disasters:
        for seed in args.seeds:
            spec = f"sim:{seed}?disaster={kind}&size={args.size}"
            found = scene(spec, args.bundle)
            scenes[spec] = {"changed_share": round(found.pop("changed_share"), 4)}
            oracle = float(found["oracle"].mean())
            for order, curve in found.items():
                curves.setdefault(order, []).append(curve)
                scenes[spec][order] = {
                    "changed_area_at_10pct_bytes": round(float(curve[round(AT * 1000)]), 4),
                    "share_of_oracle_auc": round(float(curve.mean()) / oracle, 4),
                }
    metrics: dict[str, Any] = {"scenes": len(scenes)}
    for order in curves:
        prefix = "" if order == "ours" else f"{order}_"
        for name in ("changed_area_at_10pct_bytes", "share_of_oracle_auc"):
            metrics[prefix + name] = round(float(np.mean([one[order][name] for one in scenes.values()])), 4)
    if args.plot:
        args.plot.write_text(
            draw({order: np.mean(all_of_it, axis=0) for order, all_of_it in curves.items()},
                 "share of the scene's lossless bytes", "share of the changed area delivered"),
            encoding="utf-8",
        )  # fmt: skip
    return {"metrics": metrics, "runs": scenes}


def scene(spec: str, bundle_name: str) -> dict[str, Any]:
    """Curves by order, each at `STEPS`, and `changed_share` of the scene."""
    from ground.evaluation.change import fly_stream
    from onboard.config import DetectConfig
    from onboard.infer.bundle import load_bundle
    from onboard.infer.runtime import load_encoder
    from onboard.sense.stream import open_stream

    bundle = load_bundle(bundle_name)
    config = DetectConfig(bundle=bundle.name, budget_bytes=0, pictures=0)
    stream = open_stream(spec)
    with tempfile.TemporaryDirectory() as folder:
        outcome = fly_stream(
            [stream], config, bundle, load_encoder(bundle, config.runtime, config.precision), Path(folder)
        )
    last = outcome.passes[-1]
    if last.truth is None:
        raise ValueError(f"{spec}: no truth")
    area = np.nan_to_num(last.truth.reshape(-1).astype(np.float64))
    score = last.score.reshape(-1)
    known = np.nan_to_num(score, nan=-np.inf)
    size, estimate = sizes(stream.acquisitions[-1], bundle.bands)
    density = np.where(np.isnan(score), -np.inf, value_of(score) / estimate)
    rng = np.random.default_rng(0)
    return {
        "ours": curve(np.argsort(-density, kind="stable"), area, size),
        "score": curve(np.argsort(-known, kind="stable"), area, size),
        "fifo": curve(np.arange(area.size), area, size),
        "random": np.mean([curve(rng.permutation(area.size), area, size) for _ in range(SHUFFLES)], axis=0),
        "oracle": curve(np.argsort(-area / size, kind="stable"), area, size),
        "changed_share": float(area.mean()),
    }


def curve(order: NDArray[np.intp], area: F64, size: F64) -> F64:
    """Share of the area delivered once `STEPS` of all bytes are sent, float64 (1001,)."""
    spent = np.cumsum(size[order]) / size.sum()
    gained = np.concatenate([[0.0], np.cumsum(area[order]) / max(area.sum(), 1e-12)])
    return np.asarray(gained[np.searchsorted(spent, STEPS + 1e-12, side="right")])


def sizes(acquisition: Any, bands: tuple[str, ...]) -> tuple[F64, F64]:
    """True and estimated bytes of every cell's lossless product, float64 (cells,) each."""
    grid = acquisition.grid
    infos = tuple(acquisition.band(name) for name in bands)
    true, guessed = [], []
    with acquisition.open(tuple(bands)) as reader:
        for row in range(grid.rows):
            dn = np.empty((len(bands), CELL, grid.cols * CELL), dtype=np.uint16)
            reader.read(Window(row * CELL, 0, CELL, grid.cols * CELL), dn)
            cols = np.arange(grid.cols)
            guessed.append(estimate_bytes(dn, np.zeros_like(cols), cols))
            for col in range(grid.cols):
                cell = np.ascontiguousarray(dn[:, :, col * CELL : (col + 1) * CELL])
                product = Product(
                    grid, row, col, acquisition.product_id, acquisition.sensing_time, infos, cell, "0" * 64, 0.0
                )
                true.append(len(encode(product)))
    return np.array(true, dtype=np.float64), np.concatenate(guessed).astype(np.float64)
