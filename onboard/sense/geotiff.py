"""A folder of GeoTIFF or COG acquisitions of one place.

A pass is one multi-band file, or several files whose names differ only in a resolution (`t1_10m.tif`, `t1_20m.tif`)
or in a band (`20210624_B02.tif`, `20210624_B03.tif`). Band names come from the descriptions, else from the file name.
8-bit files without any band name (masks, labels, quick-looks) are no acquisitions and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rasterio.io import DatasetReader

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition
from onboard.sense.bands import S2_BANDS, canonical_band
from onboard.sense.dates import date_in_name, date_in_tags, in_name_order, parse_dates_file, trailing_number
from onboard.sense.mosaic import compose
from onboard.sense.plane import Plane, plane_of
from onboard.sense.radiometry import band_radiometry
from onboard.sense.raster import gdal_env, open_raster
from onboard.sense.reader import RasterAcquisition

SUFFIXES = (".tif", ".tiff")
DATES_FILE = "dates.txt"
UNDATED_ANCHOR = datetime(2000, 1, 1, tzinfo=UTC)
HOW_TO_NAME = "set them, e.g. in Python: with rasterio.open(FILE, 'r+') as d: d.descriptions = ('B02', 'B03', ...)"

_STEM = re.compile(r"^(?P<name>.+?)(?:[_-](?P<band>B(?:\d{1,2}|8A)))?(?:[_-](?:10|20|60)m)?$", re.IGNORECASE)


@dataclass
class _Pass:
    name: str
    folder: Path
    files: list[Path] = field(default_factory=list)
    planes: dict[str, Plane] = field(default_factory=dict)
    tagged: datetime | None = None


def list_folder(path: Path) -> tuple[list[Acquisition], list[InputError]]:
    """The acquisitions in a folder (not in folders below it), and the files that are none although they should be."""
    visible = (item for item in sorted(path.iterdir()) if not item.name.startswith("."))
    return _list([item for item in visible if item.suffix.lower() in SUFFIXES], explicit=False)


def list_files(paths: Iterable[Path]) -> tuple[list[Acquisition], list[InputError]]:
    """The acquisitions in files that were named one by one: a mask among them is refused, not passed over."""
    return _list(list(paths), explicit=True)


def _list(files: list[Path], explicit: bool) -> tuple[list[Acquisition], list[InputError]]:
    passes: dict[tuple[Path, str], _Pass] = {}
    refused: list[InputError] = []
    with gdal_env():
        for file in files:
            name, named_band = _split(file)
            try:
                with open_raster(str(file)) as source:
                    planes = _planes(source, named_band)
                    if not planes and not explicit and _is_label(source):
                        continue
                    if not planes:
                        raise InputError(str(file), _no_bands(source), "missing-band")
                    tagged = date_in_tags(source.tags() | source.tags(ns="IMAGERY"))
            except InputError as error:
                refused.append(error)
                planes, tagged = [], None
            item = passes.setdefault((file.parent, name), _Pass(name, file.parent))
            item.files.append(file)
            item.tagged = item.tagged or tagged
            for plane in planes:  # of a band that comes at two resolutions the finer one stays
                known = item.planes.get(plane.band)
                if known is None or plane.size > known.size:
                    item.planes[plane.band] = plane
        found: list[Acquisition] = []
        for folder in dict.fromkeys(parent for parent, _ in passes):
            of_folder = [item for (parent, _), item in passes.items() if parent == folder]
            for item, time, notes in _dated(of_folder, folder, refused):
                try:
                    found.append(_acquisition(item, time, notes))
                except InputError as error:
                    refused.append(error)
    return found, refused


def _split(file: Path) -> tuple[str, str | None]:
    """(pass name, band in the file name or None). `_B8` may also be part of a place's name: descriptions go first."""
    match = _STEM.match(file.stem)
    if match is None:
        return file.stem, None
    band = canonical_band(match["band"]) if match["band"] else None
    return (match["name"], band) if band or not match["band"] else (file.stem, None)


def _planes(source: DatasetReader, named_band: str | None) -> list[Plane]:
    """The recognised bands of an open file, each band once."""
    names = [_band_of(text) for text in source.descriptions]
    if source.count == 1 and names == [None] and not source.descriptions[0]:
        names = [named_band]
    planes: dict[str, Plane] = {}
    for index, band in enumerate(names, start=1):
        if band and band not in planes:
            planes[band] = plane_of(source, index, band, band_radiometry(source, index))
    return list(planes.values())


def _band_of(description: str | None) -> str | None:
    """`B2`, `B02_10m` and GDAL's `B4, central wavelength 665 nm` are bands."""
    text = re.split(r"[,(]", description or "")[0].strip()
    return canonical_band(re.sub(r"[_ -](?:10|20|60)m$", "", text))


def _is_label(source: DatasetReader) -> bool:
    return all(dtype in ("uint8", "int8") for dtype in source.dtypes)


def _no_bands(source: DatasetReader) -> str:
    given = [text for text in source.descriptions if text]
    if not given:
        return f"no band names in its descriptions; {HOW_TO_NAME}"
    return f"none of its band descriptions ({', '.join(given[:6])}) names a Sentinel-2 band; {HOW_TO_NAME}"


def _dated(
    passes: list[_Pass], folder: Path, refused: list[InputError]
) -> list[tuple[_Pass, datetime, tuple[str, ...]]]:
    """Passes with their sensing times. One without, among others that have one, has no place in time: refused."""
    order = in_name_order(item.name for item in passes)
    passes = sorted(passes, key=lambda item: order.index(item.name))
    dates = _dates_file(folder)
    times = [
        item.tagged or date_in_name(item.name) or dates.get(trailing_number(item.name) or n)
        for n, item in enumerate(passes, start=1)
    ]
    usable = [(item, time) for item, time in zip(passes, times, strict=True) if item.planes]
    if any(time for _, time in usable):
        for item, time in usable:
            if time is None:
                reason = f"no sensing date in its tags, its name or {DATES_FILE}, while other passes have one"
                refused.append(InputError(str(item.files[0]), reason, "no-date"))
        return [(item, time, ()) for item, time in usable if time is not None]
    anchor = date_in_name(folder.resolve().name) or UNDATED_ANCHOR
    note = "no sensing date: order taken from the names, dates made up from the folder's or from 2000-01-01"
    # A pass keeps its made-up date when a file beside it turns out damaged, so it is counted among all names.
    return [(item, anchor + timedelta(days=n), (note,)) for n, item in enumerate(passes) if item.planes]


def _dates_file(folder: Path) -> dict[int, datetime]:
    try:
        return parse_dates_file((folder / DATES_FILE).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def _acquisition(item: _Pass, time: datetime, notes: tuple[str, ...]) -> RasterAcquisition:
    mosaic = compose([item.planes[band] for band in S2_BANDS if band in item.planes])
    planes = mosaic.planes
    if any(plane.dtype == "uint8" and plane.radiometry.quantification is None for plane in planes):
        notes += ("8-bit values: reflectance is taken as DN / 255",)
    where = str(item.files[0]) if len(item.files) == 1 else str(item.folder / f"{item.name}*")
    return RasterAcquisition(
        product_id=item.name,
        sensing_time=time,
        grid=mosaic.grid,
        bands=tuple(plane.info for plane in planes),
        block_shape=mosaic.block_shape,
        where=where,
        notes=notes + mosaic.notes,
        planes=planes,
    )
