"""Training tiles straight from GeoTIFF acquisitions: every folder below DATA that holds some is one place.

Pixels come through the flight software's own reader and normalisation (`onboard.sense`), so that a network is trained
on exactly what it will see on board: DN on the 10 m grid, one table per band and acquisition. Label rasters are never
opened: they are known by name and left out before any file is touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from onboard.errors import InputError
from onboard.sense import geotiff
from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, U16, Acquisition
from onboard.sense.bands import canonical_band, missing_bands
from onboard.sense.grid import CELL, Window
from onboard.sense.normalise import DN_VALUES, NormaliseRule, band_statistics, input_table

LABEL_STEMS = ("change", "mask", "label", "labels", "truth", "cm")
SUFFIXES = (".tif", ".tiff")
MIN_VALID = 0.5
"""A crop with a smaller share of valid pixels teaches only the fill value; another place is drawn."""


@dataclass(frozen=True)
class Jitter:
    """Radiometric jitter in normalised log reflectance, x -> (1 + a) x + b, as standard deviations of a and b.

    In log reflectance a factor (sun angle, calibration) is an offset and an additive haze roughly a gain; what the
    per-scene statistics leave of both is small. Half of the variance is common to all bands, half the band's own.
    """

    gain: float = 0.05
    offset: float = 0.10

    def draw(self, bands: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(1 + a, b), each float32 (bands, 1, 1)."""
        both = rng.standard_normal((2, bands + 1), dtype=np.float32)
        a, b = (both[:, :1] + both[:, 1:]) * np.float32(np.sqrt(0.5)) * np.float32([[self.gain], [self.offset]])
        return (1 + a)[:, None, None], b[:, None, None]


@dataclass(frozen=True, eq=False)
class Scene:
    """One acquisition in memory.

    Attributes:
        place: the folder it lies in; passes of one place share it.
        name: product id.
        dn: uint16 (B, height, width) on the 10 m grid.
        tables: per band float32 (max DN + 1,): DN -> network input (shorter than 65536 so that they stay in cache).
    """

    place: str
    name: str
    dn: U16
    tables: tuple[NDArray[np.float32], ...]

    def tile(self, row: int, col: int, side: int = CELL) -> NDArray[np.float32]:
        """Normalised pixels, float32 (B, side, side), from the upper-left pixel (row, col)."""
        out = np.empty((len(self.tables), side, side), np.float32)
        for band, table in enumerate(self.tables):
            out[band] = table[self.dn[band, row : row + side, col : col + side]]
        return out

    def cells(self) -> NDArray[np.float32]:
        """All whole cells in row-major order, float32 (rows * cols, B, 32, 32)."""
        rows, cols = self.dn.shape[1] // CELL, self.dn.shape[2] // CELL
        return np.stack([self.tile(r * CELL, c * CELL) for r in range(rows) for c in range(cols)])


def find_folders(data: Iterable[Path]) -> list[Path]:
    """Folders below `data` (or those themselves) that hold GeoTIFFs other than labels, sorted.

    Raises:
        InputError: one of `data` does not exist, or holds none.
    """
    folders: set[Path] = set()
    for root in data:
        if not root.is_dir():
            raise InputError(str(root), "no such folder", "missing")
        below = {path.parent for path in root.rglob("*") if _is_image(path)}
        if not below:
            raise InputError(str(root), "no GeoTIFF acquisition below it", "empty-stream")
        folders |= below
    return sorted(folders)


def image_files(folder: Path) -> list[Path]:
    """The GeoTIFFs of one folder that are imagery, sorted."""
    return sorted(path for path in folder.iterdir() if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.stem.lower() not in LABEL_STEMS


def load_scenes(folders: Sequence[Path], bands: tuple[str, ...], rule: NormaliseRule) -> tuple[list[Scene], list[str]]:
    """Read every acquisition that has all of `bands`.

    Args:
        folders: one place each.
        bands: canonical names, in the order of the network's channels.
        rule: the normalisation.

    Returns:
        The scenes, and one line for each acquisition or file that was left out, with the reason.

    Raises:
        InputError: not one acquisition has the bands.
    """
    scenes: list[Scene] = []
    left_out: list[str] = []
    for folder in folders:
        acquisitions, refused = geotiff.list_files(image_files(folder))
        left_out += [str(error) for error in refused]
        for acquisition in acquisitions:
            absent = missing_bands(bands, (info.name for info in acquisition.bands))
            if absent:
                left_out.append(f"{acquisition.where}: lacks {' '.join(absent)}")
            elif min(acquisition.grid.height, acquisition.grid.width) < CELL:
                left_out.append(f"{acquisition.where}: smaller than a cell of {CELL} px")
            else:
                scenes.append(load_scene(folder.name, acquisition, bands, rule))
    if not scenes:
        where = ", ".join(map(str, folders[:3]))
        raise InputError(where, f"no acquisition with all of {' '.join(bands)}", "missing-band")
    return scenes, left_out


def load_scene(place: str, acquisition: Acquisition, bands: tuple[str, ...], rule: NormaliseRule) -> Scene:
    """Decode one acquisition whole and make its tables.

    Raises:
        InputError: a file of it cannot be decoded.
    """
    grid = acquisition.grid
    dn = np.empty((len(bands), grid.height, grid.width), np.uint16)
    with acquisition.open(bands) as reader:
        reader.read(Window(0, 0, grid.height, grid.width), dn)
    tables = []
    for name, pixels in zip(bands, dn, strict=True):
        info = acquisition.band(name)
        histogram = np.bincount(pixels.ravel(), minlength=DN_VALUES)
        table = input_table(info, band_statistics(histogram, info, rule), rule)
        tables.append(table[: int(pixels.max()) + 1].copy())
    return Scene(place, acquisition.product_id, dn, tuple(tables))


def hold_out(scenes: Sequence[Scene], places: Sequence[str], fraction: float) -> tuple[list[Scene], list[Scene]]:
    """Split into (training, held out) by whole places, so that no pass of a held-out place is ever trained on.

    Args:
        places: names to hold out; when empty, `fraction` of all places, at least one where there are three or more,
            taken in the order of a hash of their names (the same ones on every machine, whatever else is in DATA).

    Raises:
        InputError: a name in `places` is not there, or nothing would be left to train on.
    """
    names = sorted({scene.place for scene in scenes}, key=lambda name: hashlib.sha256(name.encode()).digest())
    unknown = sorted(set(places) - set(names))
    if unknown:
        reason = f"no place called {' '.join(unknown)}; there are {' '.join(sorted(names))}"
        raise InputError("--hold-out", reason, "missing")
    count = max(round(fraction * len(names)), 1 if len(names) >= 3 and fraction > 0 else 0)
    out = set(places) or set(names[:count])
    training = [scene for scene in scenes if scene.place not in out]
    if not training:
        raise InputError("--hold-out", "nothing left to train on", "empty-stream")
    return training, [scene for scene in scenes if scene.place in out]


class RandomTiles(Dataset[torch.Tensor]):
    """Random 32x32 crops, float32 (B, 32, 32); sample i of epoch e is the same on every machine and device count.

    A scene is drawn in proportion to its area; then a corner, one of the 8 symmetries of the square, and jitter.
    """

    side = CELL
    """Of the square that `_corner` draws; a subclass may cut several tiles from a larger one."""

    def __init__(self, scenes: Sequence[Scene], length: int, seed: int, epoch: int, jitter: Jitter) -> None:
        self.scenes = tuple(scenes)
        self.length = length
        self.key = (seed, epoch)
        self.jitter = jitter
        area = np.array([scene.dn[0].size for scene in self.scenes], np.float64)
        self.cumulative = np.cumsum(area) / area.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng((*self.key, index))
        scene, row, col = self._corner(rng)
        tile = np.rot90(scene.tile(row, col), int(rng.integers(4)), (1, 2))
        if rng.random() < 0.5:
            tile = tile[:, :, ::-1]
        gain, offset = self.jitter.draw(len(tile), rng)
        return torch.from_numpy(np.ascontiguousarray(tile * gain + offset))

    def _corner(self, rng: np.random.Generator) -> tuple[Scene, int, int]:
        for _ in range(8):
            scene = self.scenes[min(int(np.searchsorted(self.cumulative, rng.random())), len(self.scenes) - 1)]
            _, height, width = scene.dn.shape
            row, col = int(rng.integers(height - self.side + 1)), int(rng.integers(width - self.side + 1))
            pixels = scene.dn[:, row : row + self.side, col : col + self.side]
            if np.mean((pixels != NODATA_DN) & (pixels != SATURATED_DN)) >= MIN_VALID:
                break
        return scene, row, col


def sample_cells(scenes: Sequence[Scene], count: int, seed: int) -> NDArray[np.float32]:
    """At most `count` whole cells drawn evenly from all scenes, float32 (n, B, 32, 32); for calibration and parity."""
    corners = [(scene, row, col) for scene in scenes for row, col in _corners(scene)]
    order = np.random.default_rng(seed).permutation(len(corners))[:count]
    return np.stack([corners[i][0].tile(*corners[i][1:]) for i in sorted(order)])


def _corners(scene: Scene) -> Iterator[tuple[int, int]]:
    _, height, width = scene.dn.shape
    for row in range(0, height - CELL + 1, CELL):
        for col in range(0, width - CELL + 1, CELL):
            yield row, col


def file_hashes(folders: Sequence[Path], bands: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every image file that has one of `bands`, by `parent/place/file`: what a checkpoint was trained on."""
    hashes = {}
    for folder in folders:
        for path in image_files(folder):
            with rasterio.open(path) as file:
                present = {canonical_band(name or "") for name in file.descriptions}
            if present & set(bands):
                hashes["/".join((*folder.parts[-2:], path.name))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(hashes.items()))
