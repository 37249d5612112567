"""A granule to measure on: noisy, never repeating, as large as a real one, written by stripes and kept in the cache.

Its texture is Sentinel-2 imagery (the OSCD pairs of the data folder: crops, flips and mirrors of them, with fresh noise
on every pixel and pass), so that histograms, compressibility and scores are those of real scenes; without the data
folder it is correlated noise with plausible spectra. Odd passes show the first date of each pair, even passes the
second. The 20 m bands carry 20 m information on the 10 m grid, as every source delivers them.

    python -m benchmarks.granule WIDTH HEIGHT LAYOUT PASS...
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
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
    "moved": {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band"},
    "jp2": {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"},
}  # fmt: skip
"""What the file looks like; "native" keeps the 20 m bands in a file of their own (`_10m`, `_20m`), "moved" lies
`MOVED_PX` off its place, "jp2" is a `.SAFE` product with a lossless file for each band at its own resolution."""
MOVED_PX = 1, 2
"""(dy, dx); products of one place differ by about as much."""
JP2_TILE = {10: 1024, 20: 640}
"""Side of ESA's tiles, by resolution in metres."""
PRODUCT = """<P><PRODUCT_URI>{name}</PRODUCT_URI><QUANTIFICATION_VALUE>10000</QUANTIFICATION_VALUE>
<PRODUCT_START_TIME>{time}</PRODUCT_START_TIME></P>"""
_Stripes = Iterator[tuple[int, NDArray[np.uint16]]]
_File = tuple[str, list[int], int, dict[str, Any]]
"""(path below the pass's folder, indices of its bands, 10 m pixels a pixel, options of its driver)"""
GRANULE = "<G><SENSING_TIME>{time}</SENSING_TIME></G>"


def cache_root() -> Path:
    """Outside the repository: $XDG_CACHE_HOME/onboard-detect/benchmarks, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onboard-detect" / "benchmarks"


def prepare(side: int, layout: str, passes: int) -> list[Path]:
    """A folder per pass of a square granule, made where missing."""
    return _prepare((side, side), layout, range(1, passes + 1))


def prepare_one(side: int, height: int, layout: str, number: int) -> Path:
    """One pass of the upper `height` lines of a granule: the same pixels, whatever the layout."""
    return _prepare((side, min(side, height)), layout, [number])[0]


def _prepare(size: tuple[int, int], layout: str, numbers: Sequence[int]) -> list[Path]:
    """By a process of its own: the caller's peak memory stays small."""
    folders = [_folder(size, layout, number) for number in numbers]
    if not all(folder.is_dir() for folder in folders):
        words = [*map(str, size), layout, *map(str, numbers)]
        subprocess.run([sys.executable, "-m", "benchmarks.granule", *words], check=True)
    return folders


def make(size: tuple[int, int], layout: str, number: int) -> Path:
    """Write pass `number` (from 1) of (width, height) px; it appears whole or not at all."""
    target = _folder(size, layout, number)
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    files = _safe_files(partial, number) if layout == "jp2" else _tif_files(layout, number)
    stripes = _stripes(size, number)
    _write(partial, files, size, _moved(stripes) if layout == "moved" else stripes)
    partial.rename(target)
    return target


def _tif_files(layout: str, number: int) -> list[_File]:
    name = f"S2_2023{number:02d}01"
    options = {"driver": "GTiff", "bigtiff": "YES", "num_threads": 2, **LAYOUTS[layout]}
    if layout != "native":
        return [(f"{name}.tif", list(range(len(BANDS))), 1, options)]
    fine = [i for i, band in enumerate(BANDS) if NATIVE_RESOLUTION_M[band] == 10]
    coarse = [i for i, band in enumerate(BANDS) if NATIVE_RESOLUTION_M[band] != 10]
    return [(f"{name}_10m.tif", fine, 1, options), (f"{name}_20m.tif", coarse, 2, options)]


def _safe_files(folder: Path, number: int) -> list[_File]:
    """Of a product in `folder`, whose metadata is written."""
    date, time = f"2023{number:02d}01T100000", f"2023-{number:02d}-01T10:00:00.000Z"
    product = f"S2A_MSIL1C_{date}_N0204_R022_T33TWN_{date}.SAFE"
    granule = f"{product}/GRANULE/L1C_T33TWN_A000001_{date}"
    (folder / granule / "IMG_DATA").mkdir(parents=True)
    (folder / product / "MTD_MSIL1C.xml").write_text(PRODUCT.format(name=product, time=time), encoding="utf-8")
    (folder / granule / "MTD_TL.xml").write_text(GRANULE.format(time=time), encoding="utf-8")
    files = []
    for index, band in enumerate(BANDS):
        metres = NATIVE_RESOLUTION_M[band]
        tile = {"blockxsize": JP2_TILE[metres], "blockysize": JP2_TILE[metres]}
        options = LAYOUTS["jp2"] | tile
        files.append((f"{granule}/IMG_DATA/T33TWN_{date}_{band}.jp2", [index], metres // 10, options))
    return files


def _write(folder: Path, files: Sequence[_File], size: tuple[int, int], stripes: _Stripes) -> None:
    """All files side by side: the pixels are made once."""
    import rasterio
    from rasterio.transform import from_origin

    with ExitStack() as stack:
        opened = []
        for file, indices, factor, options in files:
            dataset = stack.enter_context(
                rasterio.open(
                    folder / file, "w", width=size[0] // factor, height=size[1] // factor, count=len(indices),
                    dtype="uint16", crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10 * factor, 10 * factor),
                    **options,
                )
            )  # fmt: skip
            dataset.descriptions = tuple(BANDS[i] for i in indices)
            opened.append(dataset)
        for row, stripe in stripes:
            for dataset, (_, indices, factor, _) in zip(opened, files, strict=True):
                part = stripe[indices, ::factor, ::factor]
                window = rasterio.windows.Window(0, row // factor, part.shape[2], part.shape[1])
                dataset.write(part, window=window)


def _folder(size: tuple[int, int], layout: str, number: int) -> Path:
    width, height = size
    shape = f"{width}" if width == height else f"{width}x{height}"
    return cache_root() / f"granule-v{VERSION}-{shape}-{layout}" / f"pass{number}"


def _stripes(size: tuple[int, int], number: int) -> _Stripes:
    """(first row, pixels (10, h, width)) from top to bottom; about 110 MB at a time for a whole granule."""
    width, height = size
    for row in range(0, height, PATCH):
        stripe = np.empty((len(BANDS), min(PATCH, height - row), width), dtype=np.uint16)
        for col in range(0, width, PATCH):
            patch = _patch(row, col, number)
            part = stripe[:, :, col : col + PATCH]
            part[...] = patch[:, : part.shape[1], : part.shape[2]]
        yield row, stripe


def _moved(stripes: _Stripes) -> _Stripes:
    """The same stripes with what lies at (0, 0) at `MOVED_PX`: what comes in from beyond the edges repeats the edge."""
    dy, dx = MOVED_PX
    above: NDArray[np.uint16] | None = None
    for row, stripe in stripes:
        wide = np.concatenate([stripe[:, :, :1].repeat(dx, axis=2), stripe[:, :, :-dx]], axis=2)
        if above is None:
            above = wide[:, :1].repeat(dy, axis=1)
        whole = np.concatenate([above, wide], axis=1)
        above = whole[:, -dy:]
        yield row, whole[:, :-dy]


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
    width, height, layout = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for pass_number in sys.argv[4:]:
        print(make((width, height), layout, int(pass_number)), file=sys.stderr)
