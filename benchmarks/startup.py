"""From the start of the process to its first stored scores: the real command on sixteen cells.

`startup_cpu_s` is the processor time of the same, which other programs on the machine move less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import budget, granule
from benchmarks.command import detect, installed

SIDE = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    budget.add_profile(parser)
    parser.add_argument("--repeat", type=int, default=5, help="median of so many runs (default: %(default)s)")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    first, second = granule.prepare(SIDE, "tiled", 2)
    options = ["--bundle", args.bundle, *budget.options(args.profile)]
    with tempfile.TemporaryDirectory(prefix="onboard-startup-") as name:
        runs, spent = [], []
        for number in range(args.repeat):
            out, store = Path(name) / f"{number}", Path(name) / f"{number}-store"
            detect([first], out, store, 2, options)
            runs.append(detect([second], out, store, 2, options, lambda pid: spent.append(_spent_s(pid))))
    metrics = {
        "history": 1,
        "startup_s": round(statistics.median(one.first_s for one in runs), 3),
        "startup_cpu_s": round(statistics.median(spent), 3),
        "command_cpu_s": round(statistics.median(one.cpu_s for one in runs), 3),
        "import_s": round(statistics.median(_import_s() for _ in range(args.repeat)), 3),
    }
    metrics |= budget.over(args.profile, runs, 0)
    return {"metrics": metrics, "runs": {"startup": [vars(one) for one in runs]}}


def _spent_s(pid: int) -> float:
    """Processor seconds of a process so far; Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _import_s() -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", "import onboard.loop, onboard.infer.onnx"], check=True, env=installed())
    return perf_counter() - start
