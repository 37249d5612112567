"""A plane: one band as it lies in a file, known from the header alone; and how its values become DN.

Values become uint16 DN by the type of the file:

- unsigned 8 and 16 bit: as they are; a declared no-data value becomes 0, a declared saturation value 65535;
- signed, and unsigned 32 bit: DN = value + 1000, offset 1000 lower, so that the slightly negative reflectances of
  offset-corrected L2A survive (below -1000: clipped to 1);
- float: DN = round(reflectance * 10000) + 1000, offset -1000, quantification 10000; NaN and infinity become 0.

In the last two, 0 is a legitimate value: it means no-data only where the file says so or where every band read is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from onboard.errors import InputError
from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, U16, BandInfo
from onboard.sense.raster import display

SHIFT_DN = 1_000
QUANTIFICATION = 10_000.0
QUANTIFICATION_8BIT = 255.0
MAX_BLOCK_BYTES = 128 << 20
"""A file in larger blocks than this cannot be read within the memory budget: one block is GDAL's smallest read."""

Affine6 = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Radiometry:
    """What a file says of a band: reflectance = (value + offset) / quantification. None: the file does not say."""

    offset: float = 0.0
    quantification: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One band of one file.

    Attributes:
        band: canonical name, or the name of a quality layer.
        path, index: what rasterio opens, and the band in it, from 1.
        size: (height, width) in its own pixels.
        block: (height, width) of the file's blocks, own pixels.
        crs, transform: georeference of its own pixels; crs empty where there is none.
        dtype, nodata: of the values as stored.
        masked: the file has an alpha band or a mask of its own.
        count: bands in the file.
        interleaved: all bands of the file share each block (INTERLEAVE=PIXEL).
        direct: uncompressed tiles, which GDAL reads faster past its block cache.
        compressed: its blocks have to be decoded.
        factor: 10 m grid pixels per own pixel, set by `mosaic.compose`.
    """

    band: str
    path: str
    index: int
    size: tuple[int, int]
    block: tuple[int, int]
    crs: str
    transform: Affine6
    dtype: str
    nodata: float | None
    masked: bool = False
    count: int = 1
    interleaved: bool = False
    direct: bool = False
    compressed: bool = False
    radiometry: Radiometry = Radiometry()
    saturated: int = SATURATED_DN
    factor: int = 1

    @property
    def plain(self) -> bool:
        """The stored values are the DN: nothing to convert, nothing to mask."""
        return (
            self.dtype == "uint16" and not self.masked and self.nodata in (None, 0) and self.saturated == SATURATED_DN
        )

    @property
    def floating(self) -> bool:
        """Reflectance as a float."""
        return self.dtype.startswith("float")

    @property
    def shifted(self) -> bool:
        """The values are moved up by `SHIFT_DN`, so 0 may be a measurement."""
        return self.dtype not in ("uint8", "uint16")

    @property
    def info(self) -> BandInfo:
        """Radiometry of the DN that `to_dn` gives."""
        if self.floating:
            return BandInfo(self.band, -float(SHIFT_DN), QUANTIFICATION)
        default = QUANTIFICATION_8BIT if self.dtype == "uint8" else QUANTIFICATION
        shift = SHIFT_DN if self.shifted else 0
        return BandInfo(self.band, self.radiometry.offset - shift, self.radiometry.quantification or default)


def plane_of(source: DatasetReader, index: int, band: str, radiometry: Radiometry | None = None, **known: Any) -> Plane:
    """The plane of an open dataset's band; `known` overrides what the header says (e.g. the georeference of a cube).

    Raises:
        InputError: kind `layout`: a type that is no reflectance, or blocks too large for the memory budget.
    """
    dtype, block = str(source.dtypes[index - 1]), source.block_shapes[index - 1]
    if np.dtype(dtype).kind not in "uif":
        raise InputError(display(source.name), f"band {index} is {dtype}: neither whole numbers nor floats", "layout")
    interleaved = source.count > 1 and str(source.interleaving or "").lower().endswith("pixel")
    block_bytes = int(block[0]) * int(block[1]) * np.dtype(dtype).itemsize * (source.count if interleaved else 1)
    if block_bytes > MAX_BLOCK_BYTES:
        reason = f"stored in blocks of {block_bytes >> 20} MiB, too large to read in parts; rewrite it tiled"
        raise InputError(display(source.name), reason, "layout")
    flags = source.mask_flag_enums[index - 1]
    header: dict[str, Any] = {
        "size": (int(source.height), int(source.width)),
        "block": (int(block[0]), int(block[1])),
        "crs": source.crs.to_wkt() if source.crs else "",
        "transform": tuple(float(value) for value in tuple(source.transform)[:6]),
        "nodata": _number(source.nodatavals[index - 1]),
        "masked": MaskFlags.per_dataset in flags or MaskFlags.alpha in flags,
        "count": int(source.count),
        "interleaved": interleaved,
        "direct": source.driver == "GTiff" and source.compression is None and bool(source.profile.get("tiled")),
        "compressed": source.driver.startswith("JP2") or (source.driver == "GTiff" and source.compression is not None),
        "radiometry": radiometry or Radiometry(),
    }
    return Plane(band=band, path=source.name, index=index, dtype=dtype, **(header | known))


def to_dn(values: NDArray[Any], planes: tuple[Plane, ...], scale: float) -> U16:
    """Stored values of planes of one file -> DN.

    Args:
        values: (n, h, w) of the planes' dtype.
        planes: the n planes, all of one dtype.
        scale: divisor that brings unlabelled float values to reflectance (`float_scale`); 1 for all others.

    Returns:
        uint16 (n, h, w); `Plane.info` tells its radiometry.
    """
    first = planes[0]
    nodata = np.zeros(values.shape, np.bool_)
    for n, plane in enumerate(planes):
        if plane.nodata is not None:
            nodata[n] = values[n] == np.asarray(plane.nodata, values.dtype) if _fits(plane) else False
    if first.shifted and first.nodata is None:
        nodata |= (values == 0).all(axis=0)
    if first.floating:
        nodata |= ~np.isfinite(values)
        offset = np.array([plane.radiometry.offset for plane in planes], np.float32)[:, None, None]
        gain = [QUANTIFICATION / (plane.radiometry.quantification or scale) for plane in planes]
        scaled = (np.where(nodata, np.float32(0), values).astype(np.float32) + offset) * np.array(gain, np.float32)[
            :, None, None
        ]
        dn = np.clip(np.rint(scaled) + SHIFT_DN, 1, SATURATED_DN - 1)
    elif first.shifted:
        dn = np.clip(values.astype(np.int64) + SHIFT_DN, 1, SATURATED_DN)
    else:
        dn = values
    result: U16 = dn.astype(np.uint16)
    for n, plane in enumerate(planes):
        if plane.saturated != SATURATED_DN and not plane.shifted:
            result[n][values[n] == plane.saturated] = SATURATED_DN
    result[nodata] = NODATA_DN
    return result


def float_scale(samples: NDArray[Any]) -> float:
    """1 where unlabelled floats are reflectance, 10000 where they are DN: both are common, and no header tells.

    The darkest half of any land scene reflects well below 200 %, and a DN of 2 is 0.02 %: the median decides.
    """
    valid = samples[np.isfinite(samples) & (samples != 0)]
    return QUANTIFICATION if valid.size and float(np.median(valid)) > 2.0 else 1.0


def _fits(plane: Plane) -> bool:
    """Whether the no-data value can occur at all (a file may declare -9999 for uint16)."""
    kind = np.dtype(plane.dtype)
    if kind.kind == "f" or plane.nodata is None:
        return plane.nodata is not None
    bounds = np.iinfo(kind)
    return float(plane.nodata).is_integer() and bounds.min <= plane.nodata <= bounds.max


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
