"""Pictures and bands in memory for training restoration: natural images of any folder, Sentinel-2 scenes by name.

The test sets must never be trained on: every picture is compared, as a thumbnail, with those of the folders named to be
kept out, and left out where one is the other, whatever its size, format or name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from ground.scenes.resample import luma
from onboard.errors import InputError

F32 = NDArray[np.float32]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
THUMB = 24
SAME = 0.97
"""Correlation of thumbnails above which two pictures are held for one."""
FINE_BANDS = 4
"""Of Sentinel-2 at 10 m."""
TOP = 99.9
"""Percentile of a satellite band that becomes full scale."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, or one band of a scene.

    Attributes:
        name: file, and band.
        sha256: of the file.
        values: float32 (H, W) in 0..1: Y / 255, or DN / `unit`; (B, H, W) of a whole scene.
        unit: what 1.0 stands for, in the source's own units; of a scene, of its first band.
        coarse: how many of a scene's bands, its last ones, have pixels twice as large; they come repeated 2 x 2.
    """

    name: str
    sha256: str
    values: F32
    unit: float
    coarse: int = 0


def list_images(folders: Sequence[Path]) -> list[Path]:
    """Image files below folders, sorted; InputError when there is none."""
    found = sorted({p for root in folders for p in root.rglob("*") if p.suffix.lower() in SUFFIXES})
    if not found:
        raise InputError(" ".join(map(str, folders)), "no image in it", "missing")
    return found


def read_luma(path: Path) -> F32:
    """Y (16..235), float32 (H, W); a grey image as it is (0..255)."""
    try:
        with Image.open(path) as image:
            if image.mode in ("L", "1"):
                return np.asarray(image.convert("L"), np.float32)
            return luma(np.asarray(image.convert("RGB")))
    except OSError as error:
        raise InputError(str(path), f"no readable image ({error})") from error


def load_natural(folders: Sequence[Path], keep_out: Sequence[Path]) -> tuple[list[Picture], list[str]]:
    """Pictures to train on, and one line for each that was left out."""
    barred = [_thumb(read_luma(path)) for path in list_images(keep_out)] if keep_out else []
    pictures, left_out = [], []
    for path in list_images(folders):
        y = read_luma(path)
        thumb = _thumb(y)
        if any(float((thumb * other).mean()) > SAME for one in barred for other in (one, one[:, ::-1])):
            left_out.append(f"{path.name}: is one of the pictures kept out")
        elif min(y.shape) < 128:
            left_out.append(f"{path.name}: smaller than 128 px")
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            pictures.append(Picture(path.name, digest, y / np.float32(255), 255.0))
    return pictures, left_out


def load_bands(folders: Sequence[Path], hold_out: Sequence[str], resolution: str = "10m") -> list[Picture]:
    """Every band of every `*_<resolution>.tif` below folders, but for the places (folder names) held out."""
    return [picture for path in _scenes(folders, resolution, hold_out, False) for picture in read_bands(path)]


def load_cubes(folders: Sequence[Path], hold_out: Sequence[str], resolution: str = "10m") -> list[Picture]:
    """The same, with all bands of a file in one picture (B, H, W), each in units of its own."""
    cubes = []
    for path in _scenes(folders, resolution, hold_out, False):
        bands = read_bands(path)
        name = bands[0].name.rsplit(":", 1)[0]
        cubes.append(replace(bands[0], name=name, values=np.stack([band.values for band in bands])))
    return cubes


def load_scenes(folders: Sequence[Path], hold_out: Sequence[str], bands: int) -> list[Picture]:
    """What a network of so many bands sees at once: a band, the 10 m bands of a scene, or those of 20 m with them."""
    if bands == 1:
        return load_bands(folders, hold_out)
    return (load_cubes if bands <= FINE_BANDS else load_stacks)(folders, hold_out)


def load_stacks(folders: Sequence[Path], hold_out: Sequence[str]) -> list[Picture]:
    """Every scene with its 20 m bands behind its 10 m ones, each of their pixels repeated 2 x 2; see `stacked`."""
    stacks = []
    for path in _scenes(folders, "10m", hold_out, False):
        fine, coarse = (read_bands(one) for one in (path, path.with_name(path.name.replace("_10m", "_20m"))))
        values = stacked(*(np.stack([band.values for band in bands]) for bands in (fine, coarse)))
        digest = hashlib.sha256((fine[0].sha256 + coarse[0].sha256).encode()).hexdigest()
        name = fine[0].name.rsplit(":", 1)[0]
        stacks.append(Picture(name, digest, values, fine[0].unit, len(coarse)))
    return stacks


def stacked(fine: NDArray[Any], coarse: NDArray[Any]) -> NDArray[Any]:
    """(B, H, W) and (C, h, w) of pixels twice as large -> (B + C, 2 rows, 2 columns), what both cover."""
    rows, cols = (min(a // 2, b) for a, b in zip(fine.shape[1:], coarse.shape[1:], strict=True))
    repeated = coarse[:, :rows, :cols].repeat(2, 1).repeat(2, 2)
    return np.concatenate([fine[:, : 2 * rows, : 2 * cols], repeated])


def load_held_out(folders: Sequence[Path], hold_out: Sequence[str], resolution: str = "10m") -> list[Picture]:
    """The same of the places held out alone."""
    return [picture for path in _scenes(folders, resolution, hold_out, True) for picture in read_bands(path)]


def read_bands(path: Path) -> list[Picture]:
    """The bands of one GeoTIFF as DN / (99.9th percentile of the band)."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with rasterio.open(path) as source:
        names = [text or str(i + 1) for i, text in enumerate(source.descriptions)]
        dn = source.read().astype(np.float32)
    found = []
    for name, plane in zip(names, dn, strict=True):
        unit = float(np.percentile(plane, TOP)) or 1.0
        found.append(Picture(f"{path.parent.name}/{path.name}:{name}", digest, plane / np.float32(unit), unit))
    return found


def _scenes(folders: Sequence[Path], resolution: str, hold_out: Sequence[str], held: bool) -> Iterator[Path]:
    found = sorted({path for root in folders for path in root.rglob(f"*_{resolution}.tif")})
    if not found:
        raise InputError(" ".join(map(str, folders)), f"no *_{resolution}.tif in it", "missing")
    yield from (path for path in found if (path.parent.name in hold_out) == held)


def _thumb(y: F32) -> F32:
    small = np.asarray(Image.fromarray(y).resize((THUMB, THUMB), Image.Resampling.BOX), np.float32)
    return np.asarray((small - small.mean()) / (small.std() + 1e-6), np.float32)
