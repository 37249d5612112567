"""The plain RaVAEn recipe, nothing added: the yardstick of `sim:` and of `ground evaluate sim`.

As published (Ruzicka et al. 2022, doi:10.1038/s41598-022-19437-5): a small VAE trained on real Sentinel-2 (OSCD), input
2 (ln r - x0) / (x1 - x0) - 1 with fixed constants per band, score = minimum over three past passes of the cosine
distance of mu. Tile average precision in an independent re-evaluation: landslides 83, fires 93, hurricanes 76, floods
71; the simulator is anchored to these within 10 points.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from ground.models.ravaen import Ravaen, RavaenConfig, loss
from onboard.sense.acquisition import Acquisition
from onboard.sense.bands import BAND_SETS
from onboard.sense.grid import CELL, Window

BANDS = BAND_SETS["s2-10"]
PUBLISHED = {"flood": 0.709, "fire": 0.932, "landslide": 0.833, "storm": 0.759}
HISTORY = 3
DARKEST = 0.01
"""Reflectance that the darkest half percent of an image is taken to have."""
FLOOR = 1e-3
"""Reflectance below which the logarithm is held."""
KL_WEIGHT = 1e-6
"""Of the divergence in nats per tile: hardly regularised, as trained for change rather than for sampling."""

F32 = NDArray[np.float32]


class PlainRavaen:
    """A trained plain RaVAEn: `latents` of reflectance, on fixed input limits (2, 10) of ln reflectance."""

    def __init__(self, model: Ravaen, limits: F32) -> None:
        self._model, self._limits = model.eval(), limits

    @torch.no_grad()
    def latents(self, reflectance: F32) -> torch.Tensor:
        """mu of every cell: reflectance (10, H, W) -> (cells, 128)."""
        tiles = to_cells(to_input(reflectance, self._limits))
        return self._model.encoder(torch.from_numpy(np.ascontiguousarray(tiles)))[0]

    def save(self, path: Path) -> None:
        """Keep it for another run."""
        torch.save({"model": self._model.state_dict(), "limits": torch.from_numpy(self._limits)}, path)

    @classmethod
    def load(cls, path: Path) -> PlainRavaen:
        """Inverse of `save`."""
        saved = torch.load(path, weights_only=True)
        model = Ravaen(RavaenConfig(bands=len(BANDS)))
        model.load_state_dict(saved["model"])
        return cls(model, saved["limits"].numpy())


def to_input(reflectance: F32, limits: F32) -> F32:
    """RaVAEn's input from reflectance (..., 10, H, W); `limits` (2, 10) of ln reflectance."""
    x0, x1 = limits[0][:, None, None], limits[1][:, None, None]
    return np.asarray(2 * (np.log(np.maximum(reflectance, FLOOR)) - x0) / (x1 - x0) - 1, dtype=np.float32)


def train_plain(oscd: Path, steps: int = 800, seed: int = 0) -> PlainRavaen:
    """Train on random tiles of every OSCD acquisition below a folder (labels are not read); about two minutes."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images = [image for image in _oscd_images(oscd) if min(image.shape[1:]) >= CELL]
    sample = np.concatenate([image[:, ::7, ::7].reshape(len(BANDS), -1) for image in images], axis=1)
    logs = np.log(np.maximum(sample[:, (sample > 0).all(0)], FLOOR))
    limits = np.percentile(logs, [1, 99], axis=1).astype(np.float32)
    images = [to_input(image, limits) for image in images]
    model = Ravaen(RavaenConfig(bands=len(BANDS)))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    weights = np.array([image[0].size for image in images], dtype=np.float64)
    for _ in range(steps):
        tiles = []
        for index in rng.choice(len(images), 64, p=weights / weights.sum()):
            row, col = (int(rng.integers(0, images[index].shape[axis] - CELL + 1)) for axis in (1, 2))
            tiles.append(images[index][:, row : row + CELL, col : col + CELL])
        tile = torch.from_numpy(np.stack(tiles))
        reconstruction, mu, logvar = model(tile)
        optimiser.zero_grad()
        loss(reconstruction, tile, mu, logvar, KL_WEIGHT)[0].backward()
        optimiser.step()
    return PlainRavaen(model, limits)


def _oscd_images(folder: Path) -> Iterator[F32]:
    """Surface-like reflectance float32 (10, H, W) of every OSCD acquisition, 20 m bands replicated.

    OSCD is L1C (top of atmosphere), the simulator L2A-like; dark-object subtraction (Chavez 1988) brings the first near
    the second, else the fixed constants would leave the blue of every simulated scene outside the trained range.
    """
    for path in sorted(folder.glob("*/*/t?_10m.tif")):
        planes = {}
        for file, step in ((path, 1), (path.with_name(path.name.replace("10m", "20m")), 2)):
            with rasterio.open(file) as dataset:
                for name, image in zip(dataset.descriptions, dataset.read(), strict=True):
                    planes[name] = image.repeat(step, 0).repeat(step, 1)
        height, width = (min(image.shape[axis] for image in planes.values()) for axis in (0, 1))
        image = np.stack([planes[name][:height, :width] for name in BANDS]).astype(np.float32) / 10_000
        dark = np.percentile(image[:, ::5, ::5], 0.5, axis=(1, 2)).astype(np.float32)[:, None, None]
        yield np.where(image > 0, image - np.maximum(dark - DARKEST, 0), 0).astype(np.float32)


def to_cells(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """(..., H, W) -> (cells, ..., 32, 32), row by row."""
    *lead, height, width = image.shape
    rows, cols = height // CELL, width // CELL
    parts = image[..., : rows * CELL, : cols * CELL].reshape(*lead, rows, CELL, cols, CELL)
    return np.moveaxis(parts, (-4, -2), (0, 1)).reshape(rows * cols, *lead, CELL, CELL)


def score_plain(plain: PlainRavaen, passes: list[Acquisition], clear: list[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Minimum over up to three past passes of the cosine distance; nan without a clear past.

    Args:
        passes: newest last.
        clear: per pass, which cells may be used, bool (cells,).

    Returns:
        float64 (cells,).
    """
    latents = []
    for acquisition in passes[-1 - HISTORY :]:
        window = Window(0, 0, acquisition.grid.height, acquisition.grid.width)
        dn = np.empty((len(BANDS), window.height, window.width), dtype=np.uint16)
        with acquisition.open(BANDS) as reader:
            reader.read(window, dn)
        offset = np.array([acquisition.band(name).offset for name in BANDS], dtype=np.float32)[:, None, None]
        latents.append(plain.latents((dn + offset) / np.float32(10_000)))
    distances = np.stack([1 - torch.cosine_similarity(z, latents[-1]).numpy() for z in latents[:-1]]).astype(np.float64)
    distances[~np.stack(clear[-1 - HISTORY : -1])] = np.inf
    best = distances.min(axis=0)
    return np.where(np.isfinite(best), best, np.nan)
