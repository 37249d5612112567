"""Runs the real `onboard-detect` in a process of its own and takes its time, processor time and peak memory."""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.granule import cache_root


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        wall_s: of the whole process, report included.
        first_s: from the start of the process to the first pass that was wholly scored and committed.
        scored_s: from the start of the command, its imports done, to the last stored score; what tiles/s counts.
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


def installed() -> dict[str, str]:
    """The environment with Python's bytecode kept, as it is in an installed package, wherever this checkout lies."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(cache_root() / "bytecode")}


@contextmanager
def on_cores(cores: int | None, first: int = 0) -> Iterator[None]:
    """What is started inside runs on `cores` processors of this process, from `first` on; None: on all."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(mine)[first:][:cores]))  # a child inherits it
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def detect(
    streams: Sequence[Path],
    out: Path,
    store: Path,
    cores: int | None,
    options: Sequence[str] = (),
    each: Callable[[int], None] | None = None,
    beside: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Measured:
    """Look at streams on the first `cores` processors of this process; None: on all, with the command's own threads.

    Args:
        each: called with the process's id after each pass that it has looked at.
        beside: what goes on while the process of this id runs.

    Raises:
        RuntimeError: the command failed; its last lines are quoted.
    """
    command = [sys.executable, "-m", "onboard.cli.detect", *map(str, streams), "--out", str(out), "--store", str(store)]
    log = out.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with on_cores(cores), log.open("w") as stderr:
        start, began = perf_counter(), datetime.now(UTC)
        child = subprocess.Popen(
            [*command, *([] if cores is None else ["--threads", str(cores)]), *options], stderr=stderr, env=installed()
        )
        with beside(child.pid):
            if each is not None:
                _watch(child.pid, log, each)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its id stays its own until it is waited for
        _, status, usage = os.wait4(child.pid, 0)  # unlike RUSAGE_CHILDREN, of this child alone
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = perf_counter() - start
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}\n{log.read_text()[-2000:]}")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    coded, stages = summary["wall_seconds"], summary["timing"]
    scored = coded - stages.get("code", 0.0)
    return Measured(
        wall, _first_look(log, began), scored, coded, usage.ru_utime + usage.ru_stime, peak, summary["tiles"], stages
    )


def _watch(pid: int, log: Path, each: Callable[[int], None]) -> None:
    """Until the process ends (it is left to be waited for)."""
    seen = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        done = log.read_text(encoding="utf-8").count("looked at ")
        for _ in range(seen, done):
            each(pid)
        seen = done
        sleep(0.02)


def _first_look(log: Path, began: datetime) -> float:
    """Seconds until the log says that a pass was looked at."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if "looked at " in line:
            return (datetime.fromisoformat(json.loads(line)["time"]) - began).total_seconds()
    return math.nan


def warm(folder: Path) -> None:
    """Bring a pass into the page cache."""
    buffer = bytearray(1 << 22)
    for file in _files(folder):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def copied(store: Path, to: Path) -> Path:
    """A copy of a store, on the disk: what is still to be written would be, beside what is measured."""
    shutil.copytree(store, to)
    os.sync()
    return to


def cool(folder: Path) -> float:
    """Ask the kernel to drop a pass from the page cache; the share of it (0..1) that stays there all the same.

    A file system may ignore the request (tmpfs has nothing else), and dirty pages stay until they are written.
    """
    resident = size = 0
    for file in _files(folder):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            length = os.fstat(descriptor).st_size
            resident, size = resident + _resident_pages(descriptor, length) * mmap.PAGESIZE, size + length
        finally:
            os.close(descriptor)
    return min(1.0, resident / size) if size else 0.0


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _resident_pages(descriptor: int, length: int) -> int:
    """Pages of a file that are in the page cache, by mincore(2); Linux."""
    if not length:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    pages = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
    try:
        failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), pages)
        return len(pages) if failed else int((np.frombuffer(pages, np.uint8) & 1).sum())
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))
