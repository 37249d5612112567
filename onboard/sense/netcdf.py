"""A netCDF cube: variables named as bands, (time, y, x); one acquisition per date.

`X_10m.nc` with `X_20m.nc` of the same dates beside it are one cube. GDAL opens a variable of many dates slowly (40 ms
for 140 dates), so all acquisitions of a cube share its open variables, under one lock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock

import numpy as np
from rasterio.io import DatasetReader

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition, Reader
from onboard.sense.bands import S2_BANDS, canonical_band
from onboard.sense.mosaic import Mosaic, compose, fit
from onboard.sense.plane import Affine6, Plane, plane_of
from onboard.sense.planefile import QualityPlane
from onboard.sense.quality import SCL_USABLE
from onboard.sense.radiometry import band_radiometry
from onboard.sense.raster import gdal_env, open_raster
from onboard.sense.reader import RasterAcquisition

SUFFIXES = (".nc", ".nc4", ".cdf")
AXES = (("x", "y"), ("lon", "lat"), ("longitude", "latitude"))
CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")
UNEVEN = 0.01
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

_UNITS = re.compile(r"^\s*(day|hour|minute|min|second|sec|s|h|d)s?\s+since\s+(.+?)\s*$", re.IGNORECASE)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class _Pool:
    """Variables of a cube, open as long as any of its acquisitions lives."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._options: dict[str, dict[str, str | int]] = {}
        self._open: dict[str, DatasetReader] = {}

    def get(self, path: str, options: dict[str, str | int] | None = None) -> DatasetReader:
        with self.lock:
            chosen = self._options.setdefault(path, options or {})
            if path not in self._open:
                with gdal_env(**chosen):
                    self._open[path] = open_raster(path)
            return self._open[path]


@dataclass(frozen=True, kw_only=True)
class CubeAcquisition(RasterAcquisition):
    """One date of a cube. Its reader takes turns with others of the same cube."""

    pool: _Pool = field(repr=False, compare=False)

    def open(self, names: tuple[str, ...], threads: int = 0) -> Reader:
        """See `Acquisition.open`."""
        with self.pool.lock, gdal_env():
            return self._reader(names, self.pool.get, lambda: None, self.pool.lock)


@dataclass(frozen=True)
class _Variables:
    """What one file holds: a plane per band (of its first date), the classes if any, and the dates."""

    planes: dict[str, Plane]
    classes: Plane | None
    times: tuple[datetime, ...]
    notes: tuple[str, ...]


def is_cube(path: Path) -> bool:
    """By its suffix: a damaged cube is still a cube, and refused as one."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def find_cubes(folder: Path) -> list[Path]:
    """The cubes in a folder, without those that are the 20 m part of another."""
    cubes = sorted(item for item in folder.iterdir() if is_cube(item))
    parts = {_sibling(cube) for cube in cubes}
    return [cube for cube in cubes if cube not in parts]


def list_cube(path: Path) -> tuple[list[Acquisition], list[InputError]]:
    """One acquisition per date of the cube, and what was refused of it. Reads coordinates, no pixels."""
    pool, refused = _Pool(), list[InputError]()
    try:
        cube = _variables(path, pool)
        sibling = _sibling(path)
        if sibling is not None and sibling.is_file():
            try:
                cube = _merged(cube, _variables(sibling, pool), sibling)
            except InputError as error:
                refused.append(error)
        mosaic = compose([cube.planes[band] for band in S2_BANDS if band in cube.planes])
        return [_acquisition(path, pool, cube, mosaic, n) for n in range(len(cube.times))], refused
    except InputError as error:
        return [], [*refused, error]


def _sibling(path: Path) -> Path | None:
    return path.with_name(f"{path.stem[:-3]}20m{path.suffix}") if path.stem.endswith("_10m") else None


def _merged(cube: _Variables, other: _Variables, path: Path) -> _Variables:
    if other.times != cube.times:
        raise InputError(str(path), "its dates differ from those of its 10 m part; left out", "layout")
    return replace(cube, planes=other.planes | cube.planes, classes=cube.classes or other.classes)


def _variables(path: Path, pool: _Pool) -> _Variables:
    with gdal_env():
        with open_raster(str(path)) as source:
            names = [name.rsplit(":", 1)[1] for name in source.subdatasets]
            if not names and source.count:  # a file of one variable has no subdatasets
                names = [str(source.tags(1).get("NETCDF_VARNAME", ""))]
        bands = {band: name for name in names if (band := _layer(name))}
        if not any(band in S2_BANDS for band in bands):
            reason = f"none of its variables ({', '.join(names[:8]) or 'none'}) is named as a Sentinel-2 band"
            raise InputError(str(path), reason, "missing-band")
        transform, notes, options = _georeference(path, next(iter(bands.values())))
        planes: dict[str, Plane] = {}
        times: tuple[datetime, ...] = ()
        for band, name in bands.items():
            source = pool.get(_subdataset(path, name), options)
            of_band = _times(path, source)
            if times and of_band != times:
                raise InputError(str(path), f"the dates of {name} differ from those of its other variables", "layout")
            times = of_band
            known = {} if transform is None else {"transform": transform}
            planes[band] = plane_of(source, 1, band, band_radiometry(source, 1), interleaved=False, **known)
    return _Variables(planes, planes.pop("SCL", None), times, notes)


def _layer(name: str) -> str | None:
    return "SCL" if name.upper() == "SCL" else canonical_band(name)


def _subdataset(path: Path, name: str) -> str:
    return f'netcdf:"{path}":{name}'


def _georeference(path: Path, name: str) -> tuple[Affine6 | None, tuple[str, ...], dict[str, str | int]]:
    """(transform, notes, GDAL options) where GDAL finds none itself: then they come from the coordinate variables.

    GDAL also takes such a variable for stored bottom-up and turns it upside down; the option tells it which way is up.
    """
    with open_raster(_subdataset(path, name)) as source:
        if tuple(source.transform)[:6] != IDENTITY:
            return None, (), {}
        size = (source.width, source.height)
    for axes in AXES:
        pair = [_coordinates(path, axis, length) for axis, length in zip(axes, size, strict=True)]
        x, y = pair
        if x is None or y is None:
            continue
        rising = bool(y[-1] > y[0])
        y = y[::-1] if rising else y
        steps = np.diff(x), np.diff(y)
        dx, dy = float(np.mean(steps[0])), float(np.mean(steps[1]))
        uneven = max(np.ptp(steps[0]) / abs(dx), np.ptp(steps[1]) / abs(dy)) > UNEVEN
        notes = ("its x or y are unevenly spaced: positions are approximate",) if uneven else ()
        origin = float(x[0]) - dx / 2, float(y[0]) - dy / 2  # coordinates name pixel centres
        return (dx, 0.0, origin[0], 0.0, dy, origin[1]), notes, {"GDAL_NETCDF_BOTTOMUP": "YES" if rising else "NO"}
    return None, ("no georeference: neither a transform nor x and y variables",), {}


def _coordinates(path: Path, axis: str, length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    try:
        with open_raster(_subdataset(path, axis)) as source:
            values = source.read(1).astype(np.float64).ravel()
    except InputError:
        return None
    good = len(values) == length and length > 1 and bool(np.isfinite(values).all()) and values[0] != values[-1]
    return values if good else None


def _times(path: Path, source: DatasetReader) -> tuple[datetime, ...]:
    tags = source.tags()
    dims = re.findall(r"[^{},\s]+", tags.get("NETCDF_DIM_EXTRA", ""))
    if len(dims) != 1:
        reason = f"a variable has the dimensions ({', '.join([*dims, 'y', 'x'])}); (time, y, x) is expected"
        raise InputError(str(path), reason, "layout" if dims else "no-date")
    units = _UNITS.match(tags.get(f"{dims[0]}#units", ""))
    calendar = tags.get(f"{dims[0]}#calendar", "").lower()
    if units is None or calendar not in CALENDARS:
        raise InputError(str(path), f"dimension {dims[0]} is no time: its units are not `days since DATE`", "no-date")
    values = re.findall(r"[^{},\s]+", tags.get(f"NETCDF_DIM_{dims[0]}_VALUES", ""))
    if len(values) != source.count:  # GDAL leaves very long lists out of the dataset's tags
        values = [source.tags(index).get(f"NETCDF_DIM_{dims[0]}", "") for index in range(1, source.count + 1)]
    try:
        start = datetime.fromisoformat(units.group(2).removesuffix(" UTC"))
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        seconds = _SECONDS[units.group(1)[0].lower()]
        return tuple(start + timedelta(seconds=round(float(value) * seconds, 3)) for value in values)
    except (ValueError, OverflowError) as error:
        raise InputError(str(path), f"its times cannot be read: {error}", "no-date") from error


def _acquisition(path: Path, pool: _Pool, cube: _Variables, mosaic: Mosaic, n: int) -> CubeAcquisition:
    time = cube.times[n]
    stamp = time.date().isoformat() if time.time() == time.time().min else time.strftime("%Y-%m-%dT%H:%M:%S")
    planes = tuple(replace(plane, index=n + 1) for plane in mosaic.planes)
    quality: tuple[QualityPlane, ...] = ()
    if cube.classes is not None:
        finest = max(cube.planes.values(), key=lambda plane: plane.size)
        factor = fit(cube.classes, finest) * min(plane.factor for plane in planes)
        quality = (QualityPlane(replace(cube.classes, index=n + 1, factor=factor), SCL_USABLE),)
    return CubeAcquisition(
        product_id=f"{path.stem}@{stamp}",
        sensing_time=time,
        grid=mosaic.grid,
        bands=tuple(plane.info for plane in planes),
        block_shape=mosaic.block_shape,
        where=str(path),
        notes=cube.notes + mosaic.notes,
        planes=planes,
        quality=quality,
        pool=pool,
    )
