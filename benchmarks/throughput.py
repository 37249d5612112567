"""Raw pixels on disk -> committed scores and memory, in tiles/s: the real command, end to end.

A fresh store sees `--history` passes first; the pass after them is measured on two cores and on one, with its file in
the page cache ("warm") and dropped from it ("cold"), each on its own copy of that store. A tile counts from the start
of the command (model, pre-scan and registration included) to its committed score; coding the products that
stay comes after it (`..._with_products`), and the report is in `wall_s`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import granule
from benchmarks.command import Measured, cool, detect, warm

RUNS = {"tiled": ("two_cores", "one_core", "two_cores_cold"), "deflate": ("two_cores",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=granule.FULL_SIDE, help="px (default: %(default)s)")
    parser.add_argument("--layout", choices=granule.LAYOUTS, action="append", help="default: tiled and deflate")
    parser.add_argument("--history", type=int, default=3, help="passes in the memory (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="medians of so many runs (default: %(default)s)")
    parser.add_argument("--only", choices=("two_cores", "one_core", "two_cores_cold"), action="append")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")
    parser.add_argument("--score", help="default: the bundle's own")


def run(args: argparse.Namespace) -> dict[str, Any]:
    metrics: dict[str, Any] = {"history": args.history, "side_px": args.side}
    details = {}
    options = ["--bundle", args.bundle, *(["--score", args.score] if args.score else [])]
    with tempfile.TemporaryDirectory(prefix="onboard-throughput-") as name:
        for layout in args.layout or ["tiled", "deflate"]:
            passes = granule.prepare(args.side, layout, args.history + 1)
            seeded = Path(name) / layout / "seeded"
            for past in passes[:-1]:
                detect([past], Path(name) / layout / "past", seeded, 2, options)
            for which in args.only or RUNS.get(layout, ("two_cores",)):
                runs = [_once(passes[-1], seeded, which, options) for _ in range(args.repeat)]
                details[f"{layout}_{which}"] = [vars(one) for one in runs]
                label = "raw" if layout == "tiled" else layout
                metrics[f"{label}_tiles_per_s_{which}"] = round(statistics.median(r.tiles_per_s for r in runs))
                metrics[f"{label}_tiles_per_s_{which}_with_products"] = round(
                    statistics.median(r.tiles / r.coded_s for r in runs)
                )
                metrics[f"{label}_cpu_us_per_tile_{which}"] = round(
                    statistics.median(r.cpu_s / r.tiles * 1e6 for r in runs), 1
                )
                if layout == "tiled" and which == "two_cores":
                    metrics["granule_peak_rss_mb"] = round(max(r.peak_rss_mb for r in runs), 1)
    return {"metrics": metrics, "runs": details}


def _once(stream: Path, seeded: Path, which: str, options: list[str]) -> Measured:
    work = Path(tempfile.mkdtemp(dir=seeded.parent))
    try:
        shutil.copytree(seeded, work / "store")
        (cool if which.endswith("cold") else warm)(stream)
        return detect([stream], work / "out", work / "store", 1 if which == "one_core" else 2, options)
    finally:
        shutil.rmtree(work)
