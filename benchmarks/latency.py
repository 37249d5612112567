"""Latency of a strip from the start of its read to its last score, while the disk and the processors have other work.

A strip is one sweep of chunks across the swath (`onboard/sense/chunks.py`). Beside the run one process writes to the
disk with fsync and one multiplies numbers; commits are timed apart. `--idle` leaves both out.

What the machine and its scheduler make of any work of such a length is measured beside the same load right after the
run: two processes that do nothing but a fixed computation, some 10 ms of processor time, as many times as there were
strips (`fixed_...`). A strip can hardly be steadier than that.
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

import numpy as np

from benchmarks import budget, granule
from benchmarks.command import detect, warm
from onboard.errors import UsageError

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
FIXED = """
import json, sys, time
def once():
    start, n = time.perf_counter(), 1
    for _ in range(200_000):
        n = n * 3 % 1000003
    return time.perf_counter() - start
print(json.dumps([once() for _ in range(int(sys.argv[1]))]))
"""
LOOKERS = 2
"""Threads of the command that look, as it ships."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=10_980, help="px (default: %(default)s, a granule)")
    parser.add_argument("--layout", choices=granule.LAYOUTS, default="strips", help="default: %(default)s")
    parser.add_argument("--idle", action="store_true", help="nothing runs beside")
    parser.add_argument(
        "--nice", type=int, metavar="N",
        help="niceness of the command, not of the load; below 0 it goes first, as root alone may (default: ours)",
    )  # fmt: skip
    budget.add_profile(parser)
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    first, second = granule.prepare(args.side, args.layout, 2)
    options = ["--bundle", args.bundle, *budget.options(args.profile, deadline="")]
    with tempfile.TemporaryDirectory(prefix="onboard-latency-") as name:
        out, store = Path(name) / "out", Path(name) / "store"
        detect([first], out, store, None, options)
        warm(second)
        with _others(Path(name) / "load", idle=args.idle), niceness(args.nice):
            one = detect([second], out, store, None, options)
            strips = json.loads((out / "summary.json").read_text(encoding="utf-8"))["strips"]
            fixed = fixed_times(strips["latency_s"]["n"])
    latency, commit = strips["latency_s"], strips["commit_s"]
    fixed_p50, fixed_p99 = (float(value) for value in np.percentile(fixed, (50, 99)))
    metrics = {
        "side_px": args.side,
        "niceness": os.getpriority(os.PRIO_PROCESS, 0) if args.nice is None else args.nice,
        "strips": latency["n"],
        "strip_p50_s": round(latency["p50"], 4),
        "strip_p99_s": round(latency["p99"], 4),
        "strip_max_s": round(latency["max"], 4),
        "strip_p99_over_p50": round(latency["p99"] / latency["p50"], 2),
        "commit_p50_s": round(commit["p50"], 4),
        "commit_p99_s": round(commit["p99"], 4),
        "fixed_p50_s": round(fixed_p50, 4),
        "fixed_p99_s": round(fixed_p99, 4),
        "fixed_p99_over_p50": round(fixed_p99 / fixed_p50, 2),
    }
    if strips["governor"]:
        metrics |= {f"strips_{key}": strips["governor"][key] for key in ("kept", "skipped")}
        metrics["strips_late"] = len(strips["governor"]["missed"])
    metrics |= budget.over(args.profile, [one], 0)
    return {"metrics": metrics, "runs": {"loaded": [vars(one)]}}


def fixed_times(count: int) -> list[float]:
    """Seconds of a fixed computation, `count` times in each of as many processes as threads look."""
    command = [sys.executable, "-c", FIXED, str(count)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(LOOKERS)]
    return [seconds for process in started for seconds in json.loads(process.communicate()[0])]


@contextmanager
def niceness(nice: int | None) -> Iterator[None]:
    """What is started inside has it; None: the caller's."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        if nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, nice)  # a child inherits it
    except PermissionError as error:
        raise UsageError(f"--nice {nice}: {error.strerror}") from error
    try:
        yield
    finally:
        if nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, before)


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
