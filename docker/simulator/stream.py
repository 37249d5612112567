"""Writes the small stream that the simulator flies: passes of `sim:` as GeoTIFFs, so that the guest only has to read.

Rendering a simulated landscape under emulation would take longer than everything that is looked at. Touches only the
folder it is told. Runs with any Python that has this package.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio

from onboard.sense.grid import Window
from onboard.sense.stream import open_stream

SPEC = "sim:7?size=320&passes=3&disaster=flood&cloud=0.05"
"""Three passes of 10 x 10 cells, the last one flooded."""


def write(spec: str, folder: Path, compress: str = "deflate") -> list[Path]:
    """One tiled GeoTIFF a pass, with band names, offsets, scales and sensing time. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for acquisition in open_stream(spec).acquisitions:
        grid, bands = acquisition.grid, acquisition.bands
        pixels = np.empty((len(bands), grid.height, grid.width), dtype=np.uint16)
        with acquisition.open(tuple(band.name for band in bands)) as reader:
            reader.read(Window(0, 0, grid.height, grid.width), pixels)
        stamp = acquisition.sensing_time
        path = folder / f"{stamp:%Y%m%dT%H%M%S}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=grid.width, height=grid.height, count=len(bands), dtype="uint16", nodata=0,
            crs=grid.crs, transform=rasterio.Affine(*grid.transform), tiled=True, blockxsize=64, blockysize=64,
            compress=compress,
        ) as target:  # fmt: skip
            target.write(pixels)
            target.descriptions = tuple(band.name for band in bands)
            target.scales = tuple(1.0 / band.quantification for band in bands)
            target.offsets = tuple(band.offset / band.quantification for band in bands)
            target.update_tags(TIFFTAG_DATETIME=f"{stamp:%Y:%m:%d %H:%M:%S}")
        written.append(path)
    return written


if __name__ == "__main__":
    write(SPEC, Path(sys.argv[1]))
