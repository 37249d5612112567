"""Hashed randomness on the plane: values that depend on (key, position) alone, never on the window they are made for.

Per-pixel arithmetic is kept to integer hashing and to + - * / of float32, which every machine rounds alike; sines and
exponentials are taken of scalars and small tables only. That is what makes a scene repeat to the byte.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U32 = NDArray[np.uint32]

_NOISE_STD = 0.27683  # of uniform [-1, 1] nodes under a bicubic B-spline: sqrt(1/3) * 151/315


def key_of(*parts: object) -> int:
    """A 32-bit key of a path of names and numbers, the same in every process (unlike `hash`)."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=4).digest(), "little")


def generator(*parts: object) -> np.random.Generator:
    """A generator of its own for one purpose, so that a draw added elsewhere never shifts this one."""
    return np.random.Generator(np.random.PCG64(key_of(*parts)))


def hash32(key: int, first: NDArray[np.integer], *more: NDArray[np.integer]) -> U32:
    """Avalanche hash of integer coordinates (broadcast), uint32. Finaliser: "lowbias32" of C. Wellons."""
    h = first.astype(np.uint32) * np.uint32(0x9E3779B1) ^ np.uint32(key)
    for other in more:
        h = (h ^ (h >> np.uint32(15))) * np.uint32(0x85EBCA6B)
        h = h ^ (other.astype(np.uint32) * np.uint32(0xC2B2AE35))
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def uniform(h: U32) -> F32:
    """Hash -> float32 in [0, 1), exact multiples of 2^-24."""
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def _spline(coordinates: F64, period: float) -> tuple[NDArray[np.int64], list[F32]]:
    """First node and the four cubic B-spline weights of each coordinate."""
    position = coordinates / period
    node = np.floor(position)
    f = position - node
    g = 1.0 - f
    weights = [g**2 * g / 6, (3 * f * f * f - 6 * f * f + 4) / 6, (3 * g * g * g - 6 * g * g + 4) / 6, f * f * f / 6]
    return node.astype(np.int64) - 1, [w.astype(np.float32) for w in weights]


def noise(key: int, rows: F64, cols: F64, period: float) -> F32:
    """Smooth noise of zero mean and unit variance, near-normal: float32 (len(rows), len(cols)).

    Args:
        key: from `key_of`.
        rows, cols: world pixel coordinates, any spacing (a strided pair gives an overview).
        period: pixels between lattice nodes; structures are about twice as wide.
    """
    row_node, row_weights = _spline(rows, period)
    col_node, col_weights = _spline(cols, period)
    r0, c0 = int(row_node.min()), int(col_node.min())
    lattice_rows = np.arange(r0, int(row_node.max()) + 4)
    lattice_cols = np.arange(c0, int(col_node.max()) + 4)
    nodes = uniform(hash32(key, lattice_rows[:, None], lattice_cols[None, :])) * np.float32(2 / _NOISE_STD)
    nodes -= np.float32(1 / _NOISE_STD)
    row_node -= r0
    col_node -= c0
    along = row_weights[0][:, None] * nodes[row_node]
    for k in (1, 2, 3):
        along += row_weights[k][:, None] * nodes[row_node + k]
    out = along[:, col_node] * col_weights[0]
    for k in (1, 2, 3):
        part = along[:, col_node + k]
        part *= col_weights[k]
        out += part
    return out


def fractal(key: int, rows: F64, cols: F64, period: float, octaves: int, gain: float = 0.5) -> F32:
    """Sum of octaves of `noise`, each of half the period and `gain` times the amplitude; unit variance."""
    total = noise(key, rows, cols, period)
    amplitude, power = 1.0, 1.0
    for octave in range(1, octaves):
        amplitude *= gain
        power += amplitude**2
        total += np.float32(amplitude) * noise(key + 7919 * octave, rows, cols, period / 2**octave)
    total *= np.float32(power**-0.5)
    return total


def voronoi(key: int, y: F32, x: F32, cell: float) -> tuple[U32, F32, F32]:
    """The nearest of one jittered point per `cell` x `cell` square.

    Args:
        key: from `key_of`.
        y, x: world pixel coordinates of every pixel, float32 (H, W); may be warped.
        cell: pixels between points.

    Returns:
        (hash of the nearest point uint32, y - its y, x - its x in pixels), each (H, W).
    """
    scale = np.float32(1 / cell)
    yc, xc = y * scale, x * scale
    iy, ix = np.floor(yc).astype(np.int32), np.floor(xc).astype(np.int32)
    y0, x0 = int(iy.min()) - 1, int(ix.min()) - 1
    grid_y = np.arange(y0, int(iy.max()) + 2)[:, None]
    grid_x = np.arange(x0, int(ix.max()) + 2)[None, :]
    names = hash32(key, grid_y, grid_x)
    point_y = (grid_y + 0.1 + 0.8 * uniform(hash32(key + 1, grid_y, grid_x))).astype(np.float32).ravel()
    point_x = (grid_x + 0.1 + 0.8 * uniform(hash32(key + 2, grid_y, grid_x))).astype(np.float32).ravel()
    width = grid_x.size
    home = (iy - y0) * width + (ix - x0)
    best = np.full(y.shape, np.inf, np.float32)
    which = np.zeros(y.shape, np.int32)
    for step in [dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
        index = home + step
        distance = np.square(yc - point_y[index]) + np.square(xc - point_x[index])
        closer = distance < best
        np.copyto(best, distance, where=closer)
        np.copyto(which, index, where=closer)
    size = np.float32(cell)
    return names.ravel()[which], (yc - point_y[which]) * size, (xc - point_x[which]) * size


def smoothstep(low: float, high: float, x: F32) -> F32:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (np.float32(3) - np.float32(2) * t))
