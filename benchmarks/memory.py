"""Peak memory of a granule, and whether it stays flat over twenty in a row in one process (a soak).

The passes of the soak are a few granules, in turn, under new dates: a folder of links. After each pass the kernel's
mark of the peak is read and set back (Linux: /proc/PID/clear_refs), so that every granule has a peak of its own. The
first passes find less to compare with; growth is counted from the pass on that found a full history.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import budget, granule
from benchmarks.command import detect
from onboard.config import DetectConfig

DIFFERENT = 4
"""Granules that take turns."""
SETTLED = DetectConfig.lookback + 1
"""Passes until each one finds as many before it as it looks for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    budget.add_profile(parser)
    parser.add_argument("--side", type=int, default=granule.FULL_SIDE, help="px (default: %(default)s)")
    parser.add_argument("--layout", choices=granule.LAYOUTS, default="tiled", help="default: %(default)s")
    parser.add_argument("--granules", type=int, default=20, help="in a row (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="twelve of 2,560 px")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.side, args.granules = 2_560, 12
    passes = granule.prepare(args.side, args.layout, min(DIFFERENT, args.granules))
    options = ["--bundle", args.bundle, *budget.options(args.profile)]
    peaks: list[float] = []
    with tempfile.TemporaryDirectory(prefix="onboard-memory-") as name:
        row = _in_a_row(Path(name) / "passes", passes, args.granules)
        out, store = Path(name) / "out", Path(name) / "store"
        one = detect([row], out, store, 2, options, lambda pid: peaks.append(_take_peak(pid)))
    first, last = growth(peaks)
    metrics = {
        "side_px": args.side,
        "granule_peak_rss_mb": round(max(peaks[: DIFFERENT + 1], default=one.peak_rss_mb), 1),
        "soak_granules": len(peaks),
        "soak_peak_rss_mb": round(max(*peaks, one.peak_rss_mb), 1),
        "soak_growth_mb": round(last - first, 1),
        "soak_tiles_per_s": round(one.tiles_per_s),
        **budget.over(args.profile, [one], args.side // 32 * args.granules),
    }
    return {"metrics": metrics, "runs": {"soak": [vars(one)], "peaks_mb": peaks}}


def growth(peaks: list[float]) -> tuple[float, float]:
    """(greatest of the first half, of the second half) of the granules' peaks once the history is full, MB."""
    settled = peaks[SETTLED:] if len(peaks) > SETTLED + 1 else peaks
    half = len(settled) // 2
    return max(settled[:half], default=0.0), max(settled[half:], default=0.0)


def _in_a_row(folder: Path, passes: list[Path], count: int) -> Path:
    """A folder of so many dates, which are links to the files of a few passes."""
    folder.mkdir()
    for number in range(count):
        for file in passes[number % len(passes)].iterdir():
            dated = re.sub(r"S2_\d{8}", f"S2_{2023 + number // 12}{number % 12 + 1:02d}01", file.name)
            (folder / dated).symlink_to(file)
    return folder


def _take_peak(pid: int) -> float:
    """The process's peak since the last call, 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    with suppress(OSError):  # not allowed: the peak of all passes so far
        descriptor = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY)
        try:
            os.write(descriptor, b"5")
        finally:
            os.close(descriptor)
    return int(peak.split()[1]) * 1024 / 1e6
