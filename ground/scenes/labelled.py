"""Labelled pairs: a folder with two passes and a raster of what changed between them. No name of a scene matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window
from onboard.sense.stream import Stream, open_stream
from onboard.sense.tiles import valid_pixels

LABEL_FILES = ("change.tif", "mask.tif", "label.tif")
POSITIVE_SHARE = 0.05
"""A tile is positive when more than this share of its valid pixels changed."""


@dataclass(frozen=True)
class LabelledScene:
    """Two passes over one place and their label, cropped to whole cells of the common size.

    Attributes:
        name: of its folder.
        stream: both passes, as the flight software sees them.
        label: bool (rows*32, cols*32) on the 10 m grid, changed between the passes.
        valid: bool, same shape: data in both passes.
    """

    name: str
    stream: Stream
    label: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of cells."""
        return self.label.shape[0] // CELL, self.label.shape[1] // CELL

    @property
    def passes(self) -> tuple[Acquisition, Acquisition]:
        """Before and after."""
        return self.stream.acquisitions[0], self.stream.acquisitions[1]

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(changed valid pixels, valid pixels) of each tile, int64 (rows, cols)."""
        return _per_tile(self.label & self.valid), _per_tile(self.valid)

    def positives(self) -> NDArray[np.bool_]:
        """Tiles with more than 5 % of their valid pixels changed, bool (rows, cols)."""
        changed, valid = self.counts()
        return np.asarray(changed > POSITIVE_SHARE * np.maximum(valid, 1))


def find_scenes(folder: Path, bands: Sequence[str]) -> list[LabelledScene]:
    """Every labelled pair in or directly below a folder that has the bands asked for.

    Raises:
        InputError: no labelled pair there.
    """
    candidates = [folder, *sorted(item for item in folder.iterdir() if item.is_dir())]
    scenes = [_load(item, bands) for item in candidates if any((item / name).is_file() for name in LABEL_FILES)]
    if not scenes:
        reason = f"no labelled pair in it (two passes and one of {', '.join(LABEL_FILES)})"
        raise InputError(str(folder), reason, "missing")
    return scenes


def read_pass(acquisition: Acquisition, bands: Sequence[str], height: int, width: int) -> tuple[NDArray, NDArray]:
    """DN uint16 (B, height, width) from the upper left on the 10 m grid, and the valid pixels, bool (height, width)."""
    dn = np.empty((len(bands), height, width), dtype=np.uint16)
    with acquisition.open(tuple(bands)) as reader:
        quality = reader.read(Window(0, 0, height, width), dn)
    return dn, valid_pixels(dn, quality)


def _load(folder: Path, bands: Sequence[str]) -> LabelledScene:
    stream = open_stream(str(folder))
    if len(stream.acquisitions) != 2:
        reasons = "; ".join(str(error) for error in stream.refused)
        raise InputError(str(folder), f"{len(stream.acquisitions)} passes instead of two {reasons}".strip(), "pair")
    grids = [acquisition.grid for acquisition in stream.acquisitions]
    height = min(grid.rows for grid in grids) * CELL
    width = min(grid.cols for grid in grids) * CELL
    path = next(folder / name for name in LABEL_FILES if (folder / name).is_file())
    with rasterio.open(path) as dataset:
        label = dataset.read(1) > 0
    factor = round(grids[0].height / label.shape[0])  # 20 m imagery is brought to the 10 m grid, and its label with it
    label = np.repeat(np.repeat(label, factor, axis=0), factor, axis=1)[:height, :width]
    if label.shape != (height, width):
        raise InputError(str(path), f"label of {label.shape} px does not cover the passes' {height} x {width}", "label")
    valid = np.logical_and.reduce([read_pass(a, bands, height, width)[1] for a in stream.acquisitions])
    return LabelledScene(folder.resolve().name, stream, label, valid)


def _per_tile(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows, cols = mask.shape[0] // CELL, mask.shape[1] // CELL
    return np.asarray(mask.reshape(rows, CELL, cols, CELL).sum(axis=(1, 3)), dtype=np.int64)
