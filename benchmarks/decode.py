"""What decoding alone takes: every block of an acquisition's compressed files once, and nothing else done with it.

python -m benchmarks.decode STREAM THREADS     prints {"wall_s": ..., "cpu_s": ..., "samples": ...}
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from time import perf_counter, process_time
from typing import Any

from benchmarks.command import on_cores
from benchmarks.granule import BANDS


def alone(stream: Path, cores: int) -> dict[str, float]:
    """In a process of its own, on the first `cores` processors with as many threads."""
    command = [sys.executable, "-m", "benchmarks.decode", str(stream), str(cores)]
    with on_cores(cores):
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(told)
    return result


def decode(stream: str, threads: int) -> dict[str, float]:
    """All blocks of the bands that the network reads, file by file, in the order in which they lie there."""
    import rasterio

    from onboard.sense.raster import gdal_env
    from onboard.sense.reader import RasterAcquisition
    from onboard.sense.stream import open_stream

    (acquisition,) = open_stream(stream).acquisitions
    assert isinstance(acquisition, RasterAcquisition)
    files: dict[str, list[int]] = {}
    for plane in acquisition.planes:
        if plane.band in BANDS:
            files.setdefault(plane.path, []).append(plane.index)
    mine = local()

    def enter() -> None:
        gdal_env(GDAL_CACHEMAX=4 << 20, GDAL_NUM_THREADS=1).__enter__()

    def block(task: tuple[str, Any]) -> int:
        path, window = task
        handles = mine.__dict__.setdefault("handles", {})
        if path not in handles:
            handles[path] = rasterio.open(path)
        return int(handles[path].read(files[path], window=window).size)

    start, begun = perf_counter(), process_time()
    tasks = []
    for path in files:
        with gdal_env(), rasterio.open(path) as source:
            tasks += [(path, window) for _, window in source.block_windows(1)]
    with ThreadPoolExecutor(threads, initializer=enter) as pool:
        samples = sum(pool.map(block, tasks))
    return {"wall_s": perf_counter() - start, "cpu_s": process_time() - begun, "samples": samples}


if __name__ == "__main__":
    print(json.dumps(decode(sys.argv[1], int(sys.argv[2]))))
