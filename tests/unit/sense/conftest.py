"""Small rasters made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import Window

WriteTif = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def write_tif() -> WriteTif:
    """write_tif(path, bands, size=(h, w), ...) -> the values written, (n, h, w)."""

    def write(
        path: Path,
        bands: tuple[str, ...],
        size: tuple[int, int] = (96, 128),
        *,
        values: np.ndarray | None = None,
        pixel: float = 10.0,
        crs: str | None = "EPSG:32633",
        dtype: str = "uint16",
        tags: dict[str, Any] | None = None,
        mask: np.ndarray | None = None,
        scales: tuple[float, float] | None = None,
        origin: tuple[float, float] = (4e5, 5e6),
        **options: Any,
    ) -> np.ndarray:
        count = len(bands)
        if values is None:
            random = np.random.default_rng(len(path.name) + count)
            values = random.integers(1, 5000, (count, *size)).astype(dtype)
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "count": count, "height": values.shape[1], "width": values.shape[2]}
        transform = Affine(pixel, 0, origin[0], 0, -pixel, origin[1]) if crs else None
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **profile, dtype=values.dtype, crs=crs, transform=transform, **options) as target,
        ):
            target.descriptions = [band or None for band in bands]  # before the data: GDAL then writes the header first
            if tags:
                target.update_tags(**tags)
            if scales:
                target.scales, target.offsets = (scales[0],) * count, (scales[1],) * count
            target.write(values)
            if mask is not None:
                target.write_mask(mask)
        return values

    return write


def read_all(acquisition: Acquisition, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """The whole acquisition through its reader: (DN, usable)."""
    out = np.full((len(names), acquisition.grid.height, acquisition.grid.width), 9999, np.uint16)
    with acquisition.open(names) as reader:
        usable = reader.read(Window(0, 0, acquisition.grid.height, acquisition.grid.width), out)
    return out, usable


@pytest.fixture
def read() -> Callable[[Acquisition, tuple[str, ...]], tuple[np.ndarray, np.ndarray | None]]:
    return read_all
