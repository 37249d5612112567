"""A granule to measure on: noisy, never repeating, as large as a real one, written by stripes and kept in the cache.

Its texture is Sentinel-2 imagery (the OSCD pairs of the data folder: crops, flips and mirrors of them, with fresh noise
on every pixel and pass), so that histograms, compressibility and scores are those of real scenes; without the data
folder it is correlated noise with plausible spectra. Odd passes show the first date of each pair, even passes the
second. The 20 m bands carry 20 m information on the 10 m grid, as every source delivers them.

    python -m benchmarks.granule SIDE LAYOUT PASSES
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.sense.bands import BAND_SETS, NATIVE_RESOLUTION_M

BANDS = BAND_SETS["s2-10"]
FULL_SIDE = 10_980
PATCH = 512
TEXTURES = 8
VERSION = 1
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled": {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band"},
    "strips": {"tiled": False, "blockysize": 32, "interleave": "band"},
    "deflate": {
        "tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band", "compress": "deflate",
        "predictor": 2,
    },
    "native": {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band"},
}  # fmt: skip
"""What the file looks like; "native" keeps the 20 m bands in a file of their own (`_10m`, `_20m`)."""


def cache_root() -> Path:
    """Outside the repository: $XDG_CACHE_HOME/onboard-detect/benchmarks, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onboard-detect" / "benchmarks"


def prepare(side: int, layout: str, passes: int) -> list[Path]:
    """A folder per pass, made where missing, by a process of its own: the caller's peak memory stays small."""
    folders = [_folder(side, layout, number) for number in range(1, passes + 1)]
    if not all(folder.is_dir() for folder in folders):
        command = [sys.executable, "-m", "benchmarks.granule", str(side), layout, str(passes)]
        subprocess.run(command, check=True)
    return folders


def make(side: int, layout: str, number: int) -> Path:
    """Write pass `number` (from 1); it appears whole or not at all."""
    import rasterio
    from rasterio.transform import from_origin

    target = _folder(side, layout, number)
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    name = f"S2_2023{number:02d}01"
    fine = [i for i, band in enumerate(BANDS) if NATIVE_RESOLUTION_M[band] == 10]
    coarse = [i for i, band in enumerate(BANDS) if NATIVE_RESOLUTION_M[band] != 10]
    files = [(f"{name}.tif", list(range(len(BANDS))), 1)]
    if layout == "native":
        files = [(f"{name}_10m.tif", fine, 1), (f"{name}_20m.tif", coarse, 2)]
    for file, indices, factor in files:
        with rasterio.open(
            partial / file, "w", driver="GTiff", width=side // factor, height=side // factor, count=len(indices),
            dtype="uint16", crs="EPSG:32633", transform=from_origin(500_000, 5_000_000, 10 * factor, 10 * factor),
            bigtiff="YES", num_threads=2, **LAYOUTS[layout],
        ) as dataset:  # fmt: skip
            dataset.descriptions = tuple(BANDS[i] for i in indices)
            for row, stripe in _stripes(side, number):
                part = stripe[indices, ::factor, ::factor]
                window = rasterio.windows.Window(0, row // factor, part.shape[2], part.shape[1])
                dataset.write(part, window=window)
    partial.rename(target)
    return target


def _folder(side: int, layout: str, number: int) -> Path:
    return cache_root() / f"granule-v{VERSION}-{side}-{layout}" / f"pass{number}"


def _stripes(side: int, number: int) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """(first row, pixels (10, h, side)) from top to bottom; about 110 MB at a time for a whole granule."""
    for row in range(0, side, PATCH):
        stripe = np.empty((len(BANDS), min(PATCH, side - row), side), dtype=np.uint16)
        for col in range(0, side, PATCH):
            patch = _patch(row, col, number)
            part = stripe[:, :, col : col + PATCH]
            part[...] = patch[:, : part.shape[1], : part.shape[2]]
        yield row, stripe


def _patch(row: int, col: int, number: int) -> NDArray[np.uint16]:
    """One crop of one texture, turned and mirrored the same way in every pass, with the pass's own light and noise."""
    place = np.random.default_rng((row, col))
    pass_ = np.random.default_rng((row, col, number))
    texture = _texture(int(place.integers(TEXTURES)))[(number - 1) % 2]
    y, x = (2 * int(place.integers((size - PATCH) // 2 + 1)) for size in texture.shape[1:])
    dn = texture[:, y : y + PATCH, x : x + PATCH]
    dn = np.rot90(dn, int(place.integers(4)), axes=(1, 2))[:, :: 1 - 2 * int(place.integers(2))]
    out = (dn * np.float32(1.0 + 0.03 * np.sin(number))).astype(np.uint16)
    for band, name in enumerate(BANDS):
        factor = NATIVE_RESOLUTION_M[name] // 10
        noise = pass_.integers(0, 32, size=(PATCH // factor, PATCH // factor), dtype=np.uint16)
        out[band] += np.repeat(np.repeat(noise, factor, axis=0), factor, axis=1)
    return np.clip(out, 1, 60_000)


@lru_cache(TEXTURES)
def _texture(index: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Both dates of a scene, uint16 (10, H, W) with H, W >= PATCH and 20 m bands replicated."""
    data = Path(os.environ.get("ONBOARD_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    scenes = sorted((data / "oscd").glob("*/*/t1_10m.tif"))
    if not scenes:
        return _simulated(index, 0), _simulated(index, 1)
    folder = scenes[index * len(scenes) // TEXTURES].parent
    return _oscd(folder, "t1"), _oscd(folder, "t2")


def _oscd(folder: Path, date: str) -> NDArray[np.uint16]:
    import rasterio

    with rasterio.open(folder / f"{date}_10m.tif") as ten, rasterio.open(folder / f"{date}_20m.tif") as twenty:
        height, width = (min(a, 2 * b) & ~1 for a, b in zip(ten.shape, twenty.shape, strict=True))
        planes = {name: ten.read(i) for i, name in enumerate(ten.descriptions, 1)}
        for i, name in enumerate(twenty.descriptions, 1):
            planes[name] = np.repeat(np.repeat(twenty.read(i), 2, axis=0), 2, axis=1)
    dn = np.stack([planes[name][:height, :width] for name in BANDS])
    short = [max(0, PATCH + 64 - size) for size in (height, width)]
    return np.pad(dn, ((0, 0), (0, short[0]), (0, short[1])), mode="symmetric")


def _simulated(index: int, date: int) -> NDArray[np.uint16]:
    """Correlated noise over three scales with one spectrum per place; a hundredth of it differs between the dates."""
    side, rng = PATCH + 64, np.random.default_rng(index)
    level = np.array([900, 850, 800, 1100, 1900, 2300, 2400, 2600, 1800, 1000], dtype=np.float32)
    total = np.zeros((len(BANDS), side, side), dtype=np.float32)
    for step, weight in ((64, 0.3), (16, 0.2), (4, 0.1)):
        field = rng.normal(size=(len(BANDS), side // step, side // step)).astype(np.float32)
        field += np.float32(1.5) * field[:1]
        if date:
            field += np.float32(0.2) * np.random.default_rng((index, step)).normal(size=field.shape).astype(np.float32)
        total += np.float32(weight) * np.repeat(np.repeat(field, step, axis=1), step, axis=2)
    return np.clip(level[:, None, None] * np.exp(0.5 * total), 100, 12_000).astype(np.uint16)


if __name__ == "__main__":
    for pass_number in range(1, int(sys.argv[3]) + 1):
        print(make(int(sys.argv[1]), sys.argv[2], pass_number), file=sys.stderr)
