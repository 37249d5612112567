"""Peak memory of a granule, and whether it stays flat over several in a row in one process (a soak)."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import granule
from benchmarks.command import detect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=granule.FULL_SIDE, help="px (default: %(default)s)")
    parser.add_argument("--layout", choices=granule.LAYOUTS, default="tiled", help="default: %(default)s")
    parser.add_argument("--granules", type=int, default=4, help="in a row (default: %(default)s)")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    passes = granule.prepare(args.side, args.layout, args.granules)
    options = ["--bundle", args.bundle]
    with tempfile.TemporaryDirectory(prefix="onboard-memory-") as name:
        one, store = Path(name) / "one", Path(name) / "store"
        detect(passes[:1], one, store, 2, options)
        second = detect(passes[1:2], one, store, 2, options)
        row = [
            detect(passes[:count], Path(name) / f"row{count}", Path(name) / f"store{count}", 2, options)
            for count in sorted({2, args.granules})
        ]
    metrics = {
        "history": 1,
        "granule_peak_rss_mb": round(second.peak_rss_mb, 1),
        "soak_granules": args.granules,
        "soak_peak_rss_mb": round(row[-1].peak_rss_mb, 1),
        "soak_growth_mb": round(row[-1].peak_rss_mb - row[0].peak_rss_mb, 1),
    }
    return {"metrics": metrics, "runs": {"granule": [vars(second)], "soak": [vars(item) for item in row]}}
