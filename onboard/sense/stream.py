"""STREAM on the command line -> acquisitions in time order. The only place that knows which sources exist."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition


@dataclass(frozen=True)
class Stream:
    """One place: its acquisitions in time order, and those that were refused before a pixel was read."""

    spec: str
    acquisitions: tuple[Acquisition, ...]
    refused: tuple[InputError, ...]


def in_time_order(acquisitions: Iterable[Acquisition]) -> tuple[Acquisition, ...]:
    """Sorted by sensing time, then product id, so that equal times have one order everywhere."""
    return tuple(sorted(acquisitions, key=lambda item: (item.sensing_time, item.product_id)))


def open_stream(spec: str) -> Stream:
    """List the acquisitions of a STREAM without decoding pixels.

    Args:
        spec: a folder of GeoTIFF/COG acquisitions, one GeoTIFF, a `.SAFE` folder or zip (or a folder of them), a netCDF
            cube, or `sim:SEED`.

    Raises:
        InputError: nothing there, or nothing of a known kind.
    """
    if spec.startswith("sim:"):
        from onboard.sense import simulated

        return simulated.list_stream(spec)
    path = Path(spec)
    if not path.exists():
        raise InputError(spec, "no such file or folder", "missing")
    from onboard.sense import geotiff, netcdf, safe

    if safe.is_product(path):
        found, refused = safe.list_products([path])
    elif netcdf.is_cube(path):
        found, refused = netcdf.list_cube(path)
    elif path.is_file():
        found, refused = geotiff.list_files([path])
    else:
        products = safe.find_products(path)
        cubes = netcdf.find_cubes(path)
        if products:
            found, refused = safe.list_products(products)
        elif cubes:
            found, refused = [], []
            for cube in cubes:
                more, bad = netcdf.list_cube(cube)
                found += more
                refused += bad
        else:
            found, refused = geotiff.list_folder(path)
    if not found and not refused:
        raise InputError(spec, "empty: no GeoTIFF, .SAFE product or netCDF cube in it", "empty-stream")
    return Stream(spec, in_time_order(found), tuple(refused))
