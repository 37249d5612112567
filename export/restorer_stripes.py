"""What columns tell of stripes (`onboard.restore.told`), fitted turn by turn on simulated passes of a few lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ground.scenes.noise import WHOLE, Sensor
from ground.scenes.striped import striped, taken_off
from onboard.restore.enhance import BandScale
from onboard.restore.model import Network
from onboard.restore.told import NEAR, narrowed, neighbours

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
LENGTHS = (256, 512, 1024, 2048, 8192)
"""Lines of the passes."""
TURNS = 2
WIDTH = 352
PIECE = 448
"""Most lines of one picture in a pass."""
DRAWS = 2
"""How often each line of the pictures is in a pass of each length."""
LEAST = 1e-3
"""Added to the power of each column that tells, as a share of it: what two tell alike is not told twice."""


@dataclass(eq=False)
class _Pass:
    """Pictures under each other as a sensor sees them; offsets and errors of columns (B, W) in units of full scale."""

    dn: NDArray[np.uint16]  # (B, H, W)
    scales: tuple[BandScale, ...]
    error: F64
    offsets: F64
    weights: F64  # (B,)


def columns_told(network: Network, pictures: Sequence[F32], coarse: int, sensor: Sensor, seed: int) -> dict[str, Any]:
    """The manifest's `columns`: matrices that bring what columns tell nearest to what should be taken off them.

    Nearest in the mean of squares over all columns, each pass in units of what medians leave of a band's stripes.

    Args:
        network: of the denoiser, as it flies.
        pictures: clean ones, float32 ([B,] H, W), units of full scale.
        coarse: how many of the last bands have pixels twice as large, repeated 2 x 2.
        sensor: whose noise it is.
    """
    cubes = [one.reshape(-1, *one.shape[-2:]) for one in pictures]
    found: list[list[F64]] = [[] for _ in range(TURNS)]
    for length in LENGTHS:
        rng = np.random.default_rng((seed, length))
        count = max(DRAWS * sum(cube.shape[1] for cube in cubes) // length, 1)
        passes = [_seen(_stacked(cubes, length, rng), coarse, sensor.drawn(rng), rng) for _ in range(count)]
        for turn in found:
            turn.append(_fitted(network, passes))
    return {"lines": list(LENGTHS), "turns": np.array(found).round(4).tolist()}


def _stacked(cubes: Sequence[F32], length: int, rng: np.random.Generator) -> F32:
    """Parts of pictures, as they are or with rows and columns exchanged, under each other: (B, length, W), W even."""
    width = min(WIDTH, max(min(cube.shape[1:]) for cube in cubes)) // 2 * 2
    parts, lines = [], 0
    while lines < length:
        cube = cubes[rng.integers(len(cubes))]
        if rng.random() < 0.5:
            cube = cube.swapaxes(1, 2)
        if cube.shape[2] < width:
            continue
        rows = min(PIECE, cube.shape[1] // 2 * 2, length - lines)
        top, left = (2 * int(rng.integers((space + 2) // 2)) for space in (cube.shape[1] - rows, cube.shape[2] - width))
        parts.append(cube[:, top : top + rows, left : left + width])
        lines += rows
    return np.concatenate(parts, axis=1)


def _seen(clean: F32, coarse: int, sensor: Sensor, rng: np.random.Generator) -> _Pass:
    seen = striped(clean, coarse, sensor, rng)
    error, known = seen.dn.mean(1) / WHOLE - clean.mean(1, dtype=np.float64), seen.offsets / WHOLE
    left = np.square(narrowed(error - known)).mean(1)
    return _Pass(seen.dn, seen.scales, error, known, 1 / np.maximum(left, 1e-12))


def _fitted(network: Network, passes: Sequence[_Pass]) -> F64:
    """One turn's matrices (near + 1, B, 2 B), and what they tell taken off the passes."""
    bands = len(passes[0].dn)
    size = (NEAR + 1) * 2 * bands
    squares, products = np.zeros((bands, size, size)), np.zeros((bands, size))
    told = [_telling(network, one) for one in passes]
    for one, columns in zip(passes, told, strict=True):
        wanted = narrowed(one.error - one.offsets)
        squares += one.weights[:, None, None] * (columns @ columns.T)
        products += one.weights[:, None] * (wanted @ columns.T)
    least = LEAST * squares * np.eye(size) + 1e-12 * np.eye(size)
    rows = np.linalg.solve(squares + least, products[:, :, None])[:, :, 0]  # (B, size)
    for one, columns in zip(passes, told, strict=True):
        one.offsets = one.offsets + rows @ columns
    return np.asarray(rows.reshape(bands, NEAR + 1, 2 * bands).swapaxes(0, 1))


def _telling(network: Network, one: _Pass) -> F64:
    """What is taken off columns and what their offsets are, with their neighbours', ((near + 1) 2 B, W)."""
    offsets = np.rint(one.offsets * WHOLE).astype(np.int32)
    taken = taken_off(network, one.dn, offsets, one.scales) / WHOLE
    columns = narrowed(np.concatenate([taken, one.offsets]))
    return np.concatenate([neighbours(columns, distance) for distance in range(NEAR + 1)])
