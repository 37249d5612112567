"""Small generated acquisitions for tests: a folder of GeoTIFF passes over a textured place, with a change put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from onboard.sense.bands import BAND_SETS

BANDS = BAND_SETS["s2-10"]
MEADOW = (600, 800, 700, 1200, 2100, 2500, 2600, 2800, 1900, 1100)
"""DN of a meadow in these bands: nothing that could be taken for cloud."""


def landscape(cells: tuple[int, int] = (6, 8), seed: int = 0, bands: int = 10) -> np.ndarray:
    """A textured place: uint16 (bands, rows*32, cols*32), DN of 300..6000."""
    rng = np.random.default_rng(seed)
    height, width = cells[0] * 32, cells[1] * 32
    coarse = rng.normal(size=(bands, height // 16 + 1, width // 16 + 1))
    smooth = np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)[:, :height, :width]
    common = np.repeat(np.repeat(rng.normal(size=(1, height // 8, width // 8)), 8, axis=1), 8, axis=2)
    fine = rng.normal(size=(bands, height, width))
    level = np.array(MEADOW[:bands] if bands != 4 else [MEADOW[i] for i in (0, 1, 2, 6)])[:, None, None]
    return np.clip(level * np.exp(0.06 * smooth + 0.15 * common + 0.02 * fine), 300, 6000).astype(np.uint16)


def changed(dn: np.ndarray, cell: tuple[int, int], seed: int = 1) -> np.ndarray:
    """The same place with one cell burnt: dark in the near infrared, bright in the short-wave."""
    out = dn.copy()
    where = np.s_[:, cell[0] * 32 : cell[0] * 32 + 32, cell[1] * 32 : cell[1] * 32 + 32]
    noise = np.random.default_rng(seed).normal(1.0, 0.05, size=out[where].shape)
    spectrum = np.linspace(600, 400, len(out))
    spectrum[-2:] = 3000
    out[where] = np.clip(spectrum[:, None, None] * noise, 1, 60000)
    return out


def noisy(dn: np.ndarray, gain: float = 1.05, seed: int = 2) -> np.ndarray:
    """The same place on another day: a little brighter, with noise."""
    rng = np.random.default_rng(seed)
    return np.clip(dn * gain * rng.normal(1.0, 0.01, size=dn.shape), 1, 60000).astype(np.uint16)


def write_pass(
    folder: Path,
    date: str,
    dn: np.ndarray,
    bands: tuple[str, ...] = BANDS,
    *,
    offset: int = 0,
    origin: tuple[float, float] = (500_000.0, 5_000_000.0),
    pixel: float = 10.0,
    epsg: int = 32633,
    **profile: object,
) -> Path:
    """Write one acquisition as GeoTIFF with band names; DN are stored as `dn - offset` with that offset declared."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"S2_{date}.tif"
    settings = {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64, **profile}
    with rasterio.open(
        path, "w", width=dn.shape[2], height=dn.shape[1], count=len(dn), dtype=dn.dtype,
        crs=f"EPSG:{epsg}", transform=from_origin(*origin, pixel, pixel), **settings,
    ) as dataset:  # fmt: skip
        dataset.write((dn.astype(np.int64) - offset).astype(dn.dtype) if offset else dn)
        dataset.descriptions = bands
        if offset:
            dataset.scales = (1e-4,) * len(dn)
            dataset.offsets = (offset * 1e-4,) * len(dn)
    return path


def three_passes(folder: Path, cell: tuple[int, int] = (2, 5), cells: tuple[int, int] = (6, 8)) -> Path:
    """Two quiet passes and a third with one burnt cell."""
    place = landscape(cells)
    write_pass(folder, "20230101", place)
    write_pass(folder, "20230111", noisy(place, 1.1, 3))
    write_pass(folder, "20230121", changed(noisy(place, 0.95, 4), cell))
    return folder
