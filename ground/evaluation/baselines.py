"""Plain change measures to compare with, pixel-based, computed from the same pairs in the same run.

All of them see both passes whole, at full resolution and with 20 m bands brought to 10 m bilinearly: more than the
flight software may remember. Higher = more change; each returns float64 (rows, cols) of tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ground.scenes.labelled import LabelledScene
from onboard.sense.acquisition import Acquisition
from onboard.sense.bands import NATIVE_RESOLUTION_M
from onboard.sense.grid import CELL, Window

F32 = NDArray[np.float32]

# Ranges of ln(DN) that RaVAEn scales to -1..1 (Ruzicka et al. 2022, released configuration)
RAVAEN_RANGE = {
    "B02": (6.9, 7.5), "B03": (6.5, 7.4), "B04": (6.2, 7.5), "B05": (6.1, 7.5), "B06": (6.5, 8.0),
    "B07": (6.5, 8.0), "B08": (6.5, 8.0), "B8A": (6.5, 8.0), "B11": (6.0, 8.0), "B12": (6.0, 8.0),
}  # fmt: skip


def read_pair(scene: LabelledScene, bands: Sequence[str]) -> tuple[F32, F32]:
    """Reflectance x 10000 of both passes over their common size, float32 (B, H, W), 20 m bands bilinear."""
    height = min(a.grid.height for a in scene.passes)
    width = min(a.grid.width for a in scene.passes)
    before, after = (_read(a, bands)[:, :height, :width] for a in scene.passes)
    return before, after


def _read(acquisition: Acquisition, bands: Sequence[str]) -> F32:
    grid = acquisition.grid
    dn = np.empty((len(bands), grid.height, grid.width), dtype=np.uint16)
    with acquisition.open(tuple(bands)) as reader:
        reader.read(Window(0, 0, grid.height, grid.width), dn)
    infos = [acquisition.band(name) for name in bands]
    offset = np.array([info.offset for info in infos], dtype=np.float32)[:, None, None]
    scale = np.array([1e4 / info.quantification for info in infos], dtype=np.float32)[:, None, None]
    x = np.maximum((dn + offset) * scale, 0.0).astype(np.float32)
    if not all(_replicated(plane) for plane in dn):  # 10 m imagery: its 20 m bands arrive replicated
        for index, name in enumerate(bands):
            if NATIVE_RESOLUTION_M[name] == 20 and _replicated(dn[index]):
                x[index] = bilinear(x[index, ::2, ::2], (grid.height, grid.width))
    return x


def _replicated(plane: NDArray[np.uint16]) -> bool:
    height, width = (n // 2 * 2 for n in plane.shape)
    even = plane[:height, :width]
    return bool((even[::2] == even[1::2]).all() and (even[:, ::2] == even[:, 1::2]).all())


def bilinear(plane: F32, shape: tuple[int, int]) -> F32:
    """A 20 m plane on the 10 m grid: half-pixel centres, edges clamped."""

    def weights(count: int, size: int) -> tuple[NDArray[np.int64], F32]:
        position = np.clip((np.arange(count) + 0.5) / 2 - 0.5, 0, size - 1)
        first = np.minimum(position.astype(np.int64), max(size - 2, 0))
        return first, (position - first).astype(np.float32)

    rows, row_share = weights(shape[0], plane.shape[0])
    cols, col_share = weights(shape[1], plane.shape[1])
    lines = plane[rows] * (1 - row_share)[:, None] + plane[rows + 1] * row_share[:, None]
    return np.asarray(lines[:, cols] * (1 - col_share) + lines[:, cols + 1] * col_share, dtype=np.float32)


def _tiles(x: F32, shape: tuple[int, int]) -> F32:
    rows, cols = shape
    view = x[:, : rows * CELL, : cols * CELL].reshape(len(x), rows, CELL, cols, CELL)
    return np.ascontiguousarray(view.transpose(1, 3, 0, 2, 4)).reshape(rows, cols, -1)


def _ravaen_pixels(x: F32, bands: Sequence[str]) -> F32:
    low, high = (np.array([RAVAEN_RANGE[name][i] for name in bands], dtype=np.float32)[:, None, None] for i in (0, 1))
    return np.asarray(2 * (np.log(np.maximum(x, 1.0)) - low) / (high - low) - 1, dtype=np.float32)


def pixel_cosine(before: F32, after: F32, bands: Sequence[str], shape: tuple[int, int]) -> NDArray[np.float64]:
    """1 - cosine similarity of RaVAEn's normalised pixels, flattened per tile."""
    a, b = (_tiles(_ravaen_pixels(x, bands), shape) for x in (before, after))
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray(1 - (a * b).sum(-1) / np.maximum(norms, 1e-12), dtype=np.float64)


def pixel_l2(before: F32, after: F32, bands: Sequence[str], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Euclidean distance of RaVAEn's normalised pixels, flattened per tile."""
    a, b = (_tiles(_ravaen_pixels(x, bands), shape) for x in (before, after))
    return np.asarray(np.linalg.norm(a - b, axis=-1), dtype=np.float64)


def cva(before: F32, after: F32, bands: Sequence[str], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Change-vector magnitude: bands z-scored per date over the scene, norm of the difference, mean over the tile."""

    def standard(x: F32) -> F32:
        return (x - x.mean((1, 2), keepdims=True)) / np.maximum(x.std((1, 2), keepdims=True), 1e-6)

    magnitude = np.sqrt(((standard(before) - standard(after)) ** 2).sum(0))
    return np.asarray(_tiles(magnitude[None], shape).mean(-1), dtype=np.float64)


def dnbr(before: F32, after: F32, bands: Sequence[str], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Fall of the normalised burn ratio (B08 - B12) / (B08 + B12), mean over the tile (Key & Benson 2006)."""
    near, short = list(bands).index("B08"), list(bands).index("B12")
    ratio = [(x[near] - x[short]) / np.maximum(x[near] + x[short], 1.0) for x in (before, after)]
    return np.asarray(_tiles((ratio[0] - ratio[1])[None], shape).mean(-1), dtype=np.float64)


Baseline = Callable[[F32, F32, Sequence[str], tuple[int, int]], NDArray[np.float64]]


def baselines_for(bands: Sequence[str]) -> dict[str, Baseline]:
    """The baselines that these bands allow. dNBR is an expert's index for fires: only where the band set is theirs."""
    found: dict[str, Baseline] = {"pixel_cosine": pixel_cosine, "pixel_l2": pixel_l2, "cva": cva}
    if {"B08", "B12"} <= set(bands):
        found["dnbr"] = dnbr
    return found
