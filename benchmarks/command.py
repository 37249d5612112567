"""Runs the real `onboard-detect` in a process of its own and takes its time, processor time and peak memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        wall_s: of the whole process, report included.
        first_s: from the start of the process to the first pass that was wholly scored and committed.
        scored_s: from the start of the command to the last stored score; what tiles/s counts.
        coded_s: until the chosen products were coded as well, which comes after it.
        cpu_s: user and system time of all its threads: other programs on the machine move it little.
        peak_rss_mb: 10^6 bytes, as the kernel counts it.
        tiles: cells looked at.
        stages: wall seconds by stage (they overlap).
    """

    wall_s: float
    first_s: float
    scored_s: float
    coded_s: float
    cpu_s: float
    peak_rss_mb: float
    tiles: int
    stages: dict[str, float]

    @property
    def tiles_per_s(self) -> float:
        return self.tiles / self.scored_s


def detect(streams: Sequence[Path], out: Path, store: Path, cores: int | None, options: Sequence[str] = ()) -> Measured:
    """Look at streams on the first `cores` processors of this process; None: on all, with the command's own threads.

    Raises:
        RuntimeError: the command failed; its last lines are quoted.
    """
    command = [sys.executable, "-m", "onboard.cli.detect", *map(str, streams), "--out", str(out), "--store", str(store)]
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(mine)[:cores]))  # a child inherits it
    try:
        start, began = perf_counter(), datetime.now(UTC)
        log = out.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as stderr:
            child = subprocess.Popen(
                [*command, *([] if cores is None else ["--threads", str(cores)]), *options], stderr=stderr
            )
            _, status, usage = os.wait4(child.pid, 0)  # unlike RUSAGE_CHILDREN, of this child alone
            child.returncode = os.waitstatus_to_exitcode(status)
        wall = perf_counter() - start
    finally:
        os.sched_setaffinity(0, mine)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}\n{log.read_text()[-2000:]}")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    coded, stages = summary["wall_seconds"], summary["timing"]
    scored = coded - stages.get("code", 0.0)
    return Measured(
        wall, _first_look(log, began), scored, coded, usage.ru_utime + usage.ru_stime, peak, summary["tiles"], stages
    )


def _first_look(log: Path, began: datetime) -> float:
    """Seconds until the log says that a pass was looked at."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if "looked at " in line:
            return (datetime.fromisoformat(json.loads(line)["time"]) - began).total_seconds()
    return math.nan


def warm(folder: Path) -> None:
    """Bring a pass into the page cache."""
    buffer = bytearray(1 << 22)
    for file in sorted(folder.iterdir()):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def cool(folder: Path) -> None:
    """Ask the kernel to drop a pass from the page cache (it does for pages that are on the disk)."""
    for file in sorted(folder.iterdir()):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
