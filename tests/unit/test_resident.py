"""Memory that is given back: less is resident afterwards, and everything still works."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from onboard.resident import give_back, trim

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")


def resident_kb(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind))


def test_pages_of_libraries_are_let_go_and_come_back():
    import rasterio

    before, answer = resident_kb("RssFile"), np.linalg.inv(np.eye(3) * 2)
    give_back()
    assert resident_kb("RssFile") < before
    assert (np.linalg.inv(np.eye(3) * 2) == answer).all()
    assert rasterio.crs.CRS.from_epsg(32633).to_epsg() == 32633


def test_threads_leave_no_heap_behind():
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("glibc alone gives each thread a heap of its own, and says how many there are")
    script = (
        "import ctypes, sys, threading; from onboard.resident import share_one_heap\n"
        "if sys.argv[1] == 'one': share_one_heap()\n"
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "together = threading.Barrier(4)\n"
        "work = lambda: (together.wait(), libc.malloc(20_000), together.wait())\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]\n"
        "libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, 'stdout')); libc.fflush(None)"
    )
    heaps = {
        how: subprocess.run(
            [sys.executable, "-c", script, how], capture_output=True, text=True, check=True
        ).stdout.count("<heap nr=")
        for how in ("one", "each")
    }
    assert heaps["one"] == 1 < heaps["each"]


def test_freed_heap_is_returned_although_something_above_it_lives():
    held = [np.zeros(60_000, dtype=np.uint8) + 1 for _ in range(400)]  # 24 MB, each too small for a mapping of its own
    above = held.pop()
    del held
    before = resident_kb("RssAnon")
    trim()
    assert resident_kb("RssAnon") < before - 10_000
    assert above.all()
