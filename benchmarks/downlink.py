"""What the ground has after so many bytes: share of the truly changed area delivered, by the order of sending.

Delivered is a cell inside a decoded chip of at least 40 dB PSNR in every band of every cell (`onboard.downlink.lossy`
defines it; `lossy_psnr_min_db` is the worst that was found). Every order sends the same ladder: lossy regions, then the
cells without loss. Newest pass of simulated disasters (`sim:`), and of the labelled pairs where they are present.

    ours    what the flight software sends, out of its own store: overview, regions, cells, by worth per byte
    score   regions by their greatest score, unknown cells last
    fifo    regions as the pass showed them, row by row
    random  the mean of 2 shuffles
    oracle  regions by true changed area per true byte

Bytes are those of the products, as a share of all cells of the scene without loss, a product each.
`share_of_oracle_auc` compares areas under these curves over 0..1. `small_*` is over scenes with at most 5 % changed.
The seeds are other ones than those that anything was chosen on (2 to 6, 10 to 27).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.curves import draw
from onboard.downlink.ladder import CHIPS, Rung
from onboard.downlink.link.session import choose
from onboard.downlink.lossy import worst_psnr
from onboard.downlink.plan import PlanSettings
from onboard.downlink.product import Product, decode, encode
from onboard.downlink.regions import merge
from onboard.downlink.settle import assemble
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window
from onboard.store import Store

DISASTERS = ("fire", "flood", "landslide", "storm")
LABELLED = {"oscd": ("oscd/labelled", "s2-10"), "fires": ("fires", "fire")}
AT = 0.1
SMALL = 0.05
SHUFFLES = 2
PLENTY = 1 << 40
F64 = NDArray[np.float64]
STEPS = np.linspace(0, 1, 1001)

Sent = list[tuple[int, list[tuple[int, int]]]]
"""What goes down in order: bytes of each product, and the cells of which it is a chip."""


@dataclass(frozen=True)
class Scene:
    """A stream, and the truth about its newest pass: share of each cell that changed, float64 (rows, cols)."""

    group: str
    name: str
    stream: Any
    bundle: str
    truth: F64 | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, nargs="*", default=[30, 31], help="worlds, each with every disaster")
    parser.add_argument("--disasters", nargs="+", default=list(DISASTERS), choices=DISASTERS)
    parser.add_argument("--size", type=int, default=768, help="side of a scene in pixels of 10 m")
    parser.add_argument("--bundle", default="s2-10", help="of the simulated scenes")
    data = Path(os.environ.get("ONBOARD_DATA", Path(__file__).resolve().parents[2] / "shared/data"))
    parser.add_argument("--data", type=Path, default=data, help="labelled pairs, in oscd/labelled and fires")
    parser.add_argument(
        "--plot", type=Path, help="draw the mean curves into this SVG file, and -oscd, -fires beside it"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    runs: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, list[F64]]] = {}
    for scene in scenes(args):
        found, told = measure(scene)
        oracle = float(found["oracle"].mean())
        for order, curve in found.items():
            curves.setdefault(scene.group, {}).setdefault(order, []).append(curve)
            told[order] = {
                "changed_area_at_10pct_bytes": round(float(curve[round(AT * 1000)]), 4),
                "share_of_oracle_auc": round(float(curve.mean()) / oracle, 4),
            }
        runs[scene.name] = {"group": scene.group} | told
        print(scene.name, told["ours"], file=sys.stderr, flush=True)
    if args.plot:
        for group, orders in curves.items():
            path = args.plot if group == "sim" else args.plot.with_stem(f"{args.plot.stem}-{group}")
            picture = draw({order: np.mean(every, axis=0) for order, every in orders.items()},
                           "share of the scene's lossless bytes", "share of the changed area delivered")  # fmt: skip
            path.write_text(picture, encoding="utf-8")
    return {"metrics": summary(runs), "runs": runs}


def summary(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over the simulated scenes, over the small ones of them (`small_`), and over the labelled ones by folder."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in runs.values():
        groups.setdefault("" if one["group"] == "sim" else f"{one['group']}_", []).append(one)
        if one["group"] == "sim" and one["changed_share"] <= SMALL:
            groups.setdefault("small_", []).append(one)
    metrics: dict[str, Any] = {}
    for prefix, members in groups.items():
        metrics[f"{prefix}scenes"] = len(members)
        for order in ("ours", "score", "fifo", "random", "oracle"):
            for name in ("changed_area_at_10pct_bytes", "share_of_oracle_auc"):
                key = prefix + ("" if order == "ours" else f"{order}_") + name
                metrics[key] = round(float(np.mean([one[order][name] for one in members])), 4)
    metrics["lossy_psnr_min_db"] = min(one["lossy_psnr_min_db"] for one in runs.values())
    return metrics


def scenes(args: argparse.Namespace) -> Iterator[Scene]:
    """The simulated scenes, then the labelled ones that are present."""
    from ground.scenes.labelled import find_scenes
    from onboard.infer.bundle import load_bundle
    from onboard.sense.stream import open_stream

    for kind in args.disasters:
        for seed in args.seeds:
            spec = f"sim:{seed}?disaster={kind}&size={args.size}"
            yield Scene("sim", spec, open_stream(spec), args.bundle, None)
    for group, (folder, bundle) in LABELLED.items():
        if (args.data / folder).is_dir():
            for one in find_scenes(args.data / folder, load_bundle(bundle).bands):
                changed, _ = one.counts()
                yield Scene(group, f"{group}/{one.name}", one.stream, bundle, changed / CELL**2)


def measure(scene: Scene) -> tuple[dict[str, F64], dict[str, Any]]:
    """Curves by order, each at `STEPS`; what else there is to tell."""
    from ground.evaluation.change import fly_stream
    from onboard.config import DetectConfig
    from onboard.infer.bundle import load_bundle
    from onboard.infer.runtime import load_encoder
    from onboard.sense.stream import Stream

    bundle = load_bundle(scene.bundle)
    config = DetectConfig(bundle=bundle.name, budget_bytes=PLENTY, pictures=0)
    encoder = load_encoder(bundle, config.runtime, config.precision)
    with tempfile.TemporaryDirectory() as folder:
        before = Stream(scene.stream.spec, scene.stream.acquisitions[:-1], ())
        fly_stream([before], replace(config, budget_bytes=0), bundle, encoder, Path(folder))
        last = fly_stream([scene.stream], config, bundle, encoder, Path(folder)).passes[-1]
        cells = _cells(scene.stream.acquisitions[-1], bundle.bands, last.score.shape)
        with Store(Path(folder)) as store:
            ours, told = _ours(store, cells)
    truth = last.truth if scene.truth is None else scene.truth
    if truth is None:
        raise ValueError(f"{scene.name}: no truth")
    area = np.zeros(last.score.shape)
    area[: truth.shape[0], : truth.shape[1]] = np.nan_to_num(truth)[: area.shape[0], : area.shape[1]]
    lossless = {cell: len(encode(product)) for cell, product in cells.items()}
    total = sum(lossless.values())
    rng, n = np.random.default_rng(0), area.size
    first = np.linspace(1, 0.5, n).reshape(area.shape)
    orders = {
        "ours": [ours],
        "score": [_ladder(cells, np.nan_to_num(last.score), lossless, False)],
        "fifo": [_ladder(cells, first, lossless, False)],
        "random": [
            _ladder(cells, first.reshape(-1)[rng.permutation(n)].reshape(area.shape), lossless, False)
            for _ in range(SHUFFLES)
        ],
        "oracle": [_ladder(cells, area, lossless, True)],
    }
    curves = {name: np.mean([curve(sent, area, total) for sent in every], axis=0) for name, every in orders.items()}
    told |= {
        "changed_share": round(float(area.mean()), 4),
        "unknown_share": round(float(np.isnan(last.score).mean()), 4),
        "changed_area_in_unknown": round(float(area[np.isnan(last.score)].sum() / max(area.sum(), 1e-12)), 4),
        "lossy_share_of_lossless": round(told.pop("lossy_bytes") / total, 4),
    }
    return curves, told


def curve(sent: Sent, area: F64, total: int) -> F64:
    """Share of the area delivered once `STEPS` of `total` bytes are sent, float64 (1001,)."""
    seen: set[tuple[int, int]] = set()
    gained, spent, bytes_sent, delivered = [0.0], [], 0, 0.0
    for size, cells in sent:
        bytes_sent += size
        delivered += sum(float(area[cell]) for cell in cells if cell not in seen)
        seen.update(cells)
        spent.append(bytes_sent / total)
        gained.append(delivered)
    where = np.searchsorted(np.array(spent), STEPS + 1e-12, side="right")
    return np.array(gained)[where] / max(float(area.sum()), 1e-12)


def _ours(store: Store, cells: dict[tuple[int, int], Product]) -> tuple[Sent, dict[str, Any]]:
    """What the flight software sends, in its order, and how well lossy chips keep their promise."""
    sent: Sent = []
    lossy, worst, small = 0, np.inf, 0
    for item in choose(store.queue.items(), {}, PLENTY, PlanSettings()):
        product = decode(store.queue.payload(item.id) or b"")
        inside = product.inside()
        held = [(int(r) + product.row, int(c) + product.col) for r, c in np.argwhere(inside)]
        sent.append((item.size, held if product.rung in CHIPS else []))
        if product.rung is Rung.LOSSY:
            original = assemble([cells[cell] for cell in held])
            worst = min(worst, worst_psnr(original.dn, product.dn, [b.offset for b in product.bands], inside))
            lossy += item.size
        elif product.rung not in CHIPS:
            small += item.size
    return sent, {"lossy_bytes": lossy, "overview_bytes": small, "lossy_psnr_min_db": round(float(worst), 3)}


def _ladder(
    cells: dict[tuple[int, int], Product], value: F64, lossless: dict[tuple[int, int], int], by_byte: bool
) -> Sent:
    """Lossy regions by value (per byte, or their greatest), then cells without loss by value."""
    regions: list[tuple[float, int, Sequence[tuple[int, int]]]] = []
    for region in merge({cell: float(value[cell]) for cell in cells}):
        size = len(encode(assemble([cells[cell] for cell in region]), "klt"))
        values = [float(value[cell]) for cell in region]
        regions.append((sum(values) / size if by_byte else max(values), size, region))
    regions.sort(key=lambda one: -one[0])
    rest = sorted(cells, key=lambda cell: -float(value[cell]))
    return [(size, list(region)) for _, size, region in regions] + [(lossless[cell], [cell]) for cell in rest]


def _cells(acquisition: Acquisition, bands: Sequence[str], shape: tuple[int, int]) -> dict[tuple[int, int], Product]:
    """Every cell of a pass as a product."""
    rows, cols = shape
    dn = np.empty((len(bands), rows * CELL, cols * CELL), dtype=np.uint16)
    with acquisition.open(tuple(bands)) as reader:
        reader.read(Window(0, 0, rows * CELL, cols * CELL), dn)
    infos = tuple(acquisition.band(name) for name in bands)
    return {
        (r, c): Product(
            acquisition.grid, r, c, acquisition.product_id, acquisition.sensing_time, infos,
            np.ascontiguousarray(dn[:, r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL]), "0" * 64, 0.5,
        )
        for r in range(rows) for c in range(cols)
    }  # fmt: skip
