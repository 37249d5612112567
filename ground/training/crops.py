"""Crops of pictures for training restoration: pairs of low and high resolution, or of noisy and clean.

Each crop is drawn from (seed, epoch, index): a resumed run sees what the unbroken one would have seen. The noise of a
picture is drawn before, once or a few times: an objective that learns from noisy data alone never sees two noisy
versions of one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ground.scenes.noise import PEDESTAL, WHOLE, Gaussian, Sensor, destriped, lifted
from ground.scenes.pictures import Picture
from ground.scenes.resample import bicubic, sensor_shrink, shrink
from ground.scenes.striped import striped
from onboard.restore.destripe import without
from onboard.restore.model import Network

F32 = NDArray[np.float32]
FLAT = 0.04
"""Standard deviation (of full scale) under which a crop is drawn again, up to `TRIES` times: it teaches little."""
TRIES = 4


@dataclass(frozen=True, eq=False)
class Pair:
    """What a network is given and should give, float32 ([B,] H, W) and ([B,] scale H, scale W), and the noise's map.

    Attributes:
        grid: crops begin at its multiples; 2 where pixels of some bands come repeated 2 x 2.
    """

    given: F32
    wanted: F32
    sigma: F32
    grid: int = 1


def enlarged_pairs(
    pictures: Sequence[Picture], scale: int, sensor: bool, sizes: Sequence[float] = (1.0,)
) -> list[Pair]:
    """Each picture reduced by `scale`, in each of `sizes`; natural ones by antialiased bicubic, rounded to 8 bits.

    Args:
        sensor: reduce by a satellite's MTF instead, unrounded.
    """
    pairs = []
    for picture in pictures:
        for size in sizes:
            fine = _reduced(picture.values, size)
            rows, cols = (side - side % scale for side in fine.shape)
            fine = np.ascontiguousarray(fine[:rows, :cols])
            if sensor:
                coarse = sensor_shrink(fine, scale)
            else:
                coarse = np.rint(np.clip(shrink(fine, scale), 0, 1) * 255) / np.float32(255)
            pairs.append(Pair(coarse, fine, coarse[:0]))
    return pairs


def _reduced(picture: F32, size: float) -> F32:
    """(H, W) to `size` of its sides, by antialiased bicubic."""
    if size == 1.0:
        return picture
    rows, cols = (round(side * size) for side in picture.shape)
    return np.clip(bicubic(picture, (rows, cols), size), 0, 1)


def noisy_pairs(
    pictures: Sequence[Picture], noise: Gaussian | Sensor, seed: int, sizes: Sequence[float] = (1.0,), draws: int = 1
) -> list[Pair]:
    """Each picture with noise, in each of `sizes`, in rows as they come from the sensor, and destriped as on board.

    Args:
        draws: of noise for each picture; more than one only where clean pictures may be looked at.
    """
    pairs = []
    for index, (_, picture, size) in enumerate(product(range(draws), pictures, sizes)):
        rng = np.random.default_rng((seed, 7, index))
        one = noise.drawn(rng) if isinstance(noise, Sensor) else noise
        values = _reduced(picture.values, size)
        planes = values.reshape(-1, *values.shape[-2:])
        fine = len(planes) - picture.coarse
        parts = [_noisy(plane, one, rng) for plane in planes[:fine]]
        parts += [_repeated(_noisy(plane[::2, ::2], one, rng)) for plane in planes[fine:]]
        given, wanted, sigma = (np.stack(part).reshape(values.shape) for part in zip(*parts, strict=True))
        pairs.append(Pair(given, wanted, sigma, grid=2 if picture.coarse else 1))
    return pairs


def refined_pairs(pictures: Sequence[Picture], noise: Sensor, seed: int, draws: int, network: Network) -> list[Pair]:
    """The same of a sensor alone, less what a denoiser tells of stripes too."""
    pairs = []
    for index, (_, picture) in enumerate(product(range(draws), pictures)):
        rng = np.random.default_rng((seed, 8, index))
        one = noise.drawn(rng)
        values = picture.values
        planes = values.reshape(-1, *values.shape[-2:])
        seen = striped(planes, picture.coarse, one, rng)
        given = without(seen.dn, seen.refined(network)[:, None]).astype(np.float32) / np.float32(WHOLE)
        sigma = np.stack([one.expected(plane) for plane in given])
        grid = 2 if picture.coarse else 1
        pairs.append(Pair(given.reshape(values.shape), values, sigma.reshape(values.shape), grid))
    return pairs


def _repeated(parts: tuple[F32, F32, F32]) -> tuple[F32, F32, F32]:
    """Pixels twice as large have one noise: planes (H, W) -> (2 H, 2 W)."""
    given, wanted, sigma = (part.repeat(2, 0).repeat(2, 1) for part in parts)
    return given, wanted, sigma


def _noisy(clean: F32, noise: Gaussian | Sensor, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    noisy, sigma = noise.add(clean, rng)
    if isinstance(noise, Sensor):
        noisy = destriped(noise.repair(noisy))
        return noisy, clean, noise.expected(noisy)
    return lifted(noisy), lifted(clean), sigma / np.float32(1 + 2 * PEDESTAL)


class Crops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """`length` random crops of one epoch, turned and mirrored.

    Args:
        side: of the given crop, px.
        scale: of the wanted crop against it.
        turn: whether rows and columns may change places (not where stripes have a direction).
    """

    def __init__(
        self, pairs: Sequence[Pair], side: int, scale: int, length: int, key: tuple[int, int], turn: bool = True
    ) -> None:
        self.pairs = [pair for pair in pairs if min(pair.given.shape[-2:]) >= side]
        if not self.pairs:
            raise ValueError(f"no picture is as large as a crop of {side} px")
        share = np.array([pair.given.size for pair in self.pairs], dtype=np.float64) ** 0.5
        self.share = share / share.sum()
        self.side, self.scale, self.length, self.key, self.turn = side, scale, length, key, turn

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """(given, wanted, sigma), each (B, side, side) or (B, scale side, scale side)."""
        rng = np.random.default_rng((*self.key, index))
        for _ in range(TRIES):
            pair = self.pairs[rng.choice(len(self.pairs), p=self.share)]
            row, col = (int(rng.integers(size - self.side + 1)) for size in pair.given.shape[-2:])
            row, col = row - row % pair.grid, col - col % pair.grid
            corner = row * self.scale, col * self.scale
            fine = (..., *(slice(start, start + self.side * self.scale) for start in corner))
            if pair.wanted[fine].std() > FLAT:
                break
        coarse = (..., slice(row, row + self.side), slice(col, col + self.side))
        planes = [pair.given[coarse], pair.wanted[fine], pair.sigma[coarse] if pair.sigma.size else pair.given[:0, :0]]
        planes = [plane[None] if plane.ndim == 2 else plane for plane in planes]
        flips = rng.integers(0, 2, 3)
        for axis in (1, 2):
            if flips[axis - 1]:
                planes = [np.flip(plane, axis) for plane in planes]
        if self.turn and flips[2]:
            planes = [plane.swapaxes(1, 2) for plane in planes]
        given, wanted, sigma = (torch.from_numpy(np.ascontiguousarray(plane)) for plane in planes)
        return given, wanted, sigma
