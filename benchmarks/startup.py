"""From the start of the process to its first stored scores: the real command on sixteen cells."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import granule
from benchmarks.command import detect

SIDE = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeat", type=int, default=5, help="median of so many runs (default: %(default)s)")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    first, second = granule.prepare(SIDE, "tiled", 2)
    options = ["--bundle", args.bundle]
    with tempfile.TemporaryDirectory(prefix="onboard-startup-") as name:
        runs = []
        for number in range(args.repeat):
            out, store = Path(name) / f"{number}", Path(name) / f"{number}-store"
            detect([first], out, store, 2, options)
            runs.append(detect([second], out, store, 2, options))
    metrics = {
        "history": 1,
        "startup_s": round(statistics.median(one.first_s for one in runs), 3),
        "command_cpu_s": round(statistics.median(one.cpu_s for one in runs), 3),
        "import_s": round(statistics.median(_import_s() for _ in range(args.repeat)), 3),
    }
    return {"metrics": metrics, "runs": {"startup": [vars(one) for one in runs]}}


def _import_s() -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", "import onboard.loop, onboard.infer.onnx"], check=True)
    return perf_counter() - start
