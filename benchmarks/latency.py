"""Latency of a strip from the start of its read to its last score, while the disk and the processors have other work.

A strip is one sweep of chunks across the swath (`onboard/sense/chunks.py`). Beside the run one process writes to the
disk with fsync and one multiplies numbers; commits are timed apart. `--idle` leaves both out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import budget, granule
from benchmarks.command import detect, warm

DISK = """
import os, sys
block = os.urandom(1 << 20)
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(64):
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
"""
CORE = "n = 1\nwhile True:\n    n = n * 3 % 1000003"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=10_980, help="px (default: %(default)s, a granule)")
    parser.add_argument("--layout", choices=granule.LAYOUTS, default="strips", help="default: %(default)s")
    parser.add_argument("--idle", action="store_true", help="nothing runs beside")
    budget.add_profile(parser)
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    first, second = granule.prepare(args.side, args.layout, 2)
    options = ["--bundle", args.bundle, *budget.options(args.profile, deadline="")]
    with tempfile.TemporaryDirectory(prefix="onboard-latency-") as name:
        out, store = Path(name) / "out", Path(name) / "store"
        detect([first], out, store, None, options)
        warm(second)
        with _others(Path(name) / "load", idle=args.idle):
            one = detect([second], out, store, None, options)
        strips = json.loads((out / "summary.json").read_text(encoding="utf-8"))["strips"]
    latency, commit = strips["latency_s"], strips["commit_s"]
    metrics = {
        "side_px": args.side,
        "strips": latency["n"],
        "strip_p50_s": round(latency["p50"], 4),
        "strip_p99_s": round(latency["p99"], 4),
        "strip_max_s": round(latency["max"], 4),
        "strip_p99_over_p50": round(latency["p99"] / latency["p50"], 2),
        "commit_p50_s": round(commit["p50"], 4),
        "commit_p99_s": round(commit["p99"], 4),
    }
    if strips["governor"]:
        metrics |= {f"strips_{key}": strips["governor"][key] for key in ("kept", "skipped")}
        metrics["strips_late"] = len(strips["governor"]["missed"])
    metrics |= budget.over(args.profile, [one], 0)
    return {"metrics": metrics, "runs": {"loaded": [vars(one)]}}


@contextmanager
def _others(file: Path, idle: bool) -> Iterator[None]:
    """A process that keeps the disk busy, and one that wants a core."""
    commands = [] if idle else [[sys.executable, "-c", DISK, str(file)], [sys.executable, "-c", CORE]]
    started = [subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": "0"}) for command in commands]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
