"""Arithmetic on the sub-cells of records: blocks, spectra, validity, pooling. Pure arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import COARSE, FINE, Records, unpack_valid

F32 = NDArray[np.float32]

INPUT_ZERO = 128
INPUT_STEP = 1 / 24
"""Of the uint8 input, in standard deviations: x = (u - 128) / 24."""

BLOCKS = np.arange(FINE * FINE).reshape(FINE // 2, 2, FINE // 2, 2).transpose(0, 2, 1, 3).reshape(COARSE * COARSE, 4)
"""Fine sub-cells of each coarse one, (16, 4)."""
SPREAD = np.zeros((COARSE * COARSE, FINE * FINE), dtype=np.float32)
SPREAD[np.repeat(np.arange(COARSE * COARSE), 4), BLOCKS.reshape(-1)] = 1.0
"""(16, 64) of 0 and 1: a coarse map times this is the same map on fine sub-cells, faster than repeating."""


def coarse_spectra(records: Records) -> F32:
    """All bands on coarse sub-cells, fine bands first, in steps of the input: float32 (N, B, 16)."""
    n, f = len(records), records["fine"].shape[1]
    out = np.empty((n, f + records["coarse"].shape[1], COARSE * COARSE), dtype=np.float32)
    out[:, :f] = blocks(np.ascontiguousarray(records["fine"]).reshape(n * f, -1)).reshape(n, f, -1)
    out[:, f:] = records["coarse"]
    return out


def blocks(fine: NDArray[np.uint8]) -> F32:
    """Means of 2 x 2 fine sub-cells: (N, 64) -> float32 (N, 16)."""
    v = fine.reshape(-1, COARSE, 2, COARSE, 2)
    pairs = v[:, :, 0].astype(np.uint16) + v[:, :, 1]
    return (pairs[..., 0] + pairs[..., 1]).reshape(-1, COARSE * COARSE) * np.float32(0.25)


def top_root_mean(squares: F32, count: int) -> F32:
    """Mean of the square roots of the `count` greatest of each row."""
    return np.asarray(np.sqrt(_greatest(squares, count)).mean(axis=1), dtype=np.float32)


def top_mean(values: F32, count: int) -> F32:
    """Mean of the `count` greatest of each row."""
    return np.asarray(_greatest(values, count).mean(axis=1), dtype=np.float32)


def _greatest(values: F32, count: int) -> F32:
    """The `count` greatest of each row in order; cheaper than a partition, whose order is the processor's own."""
    return np.sort(values, axis=1)[:, values.shape[1] - count :]


def common(now: Records, past: Records) -> NDArray[np.float32] | None:
    """Fine sub-cells valid in both, float32 (N, 64); None where all are (the usual, faster case)."""
    bits = now["valid"] & past["valid"]
    if (bits == np.uint64(2**64 - 1)).all():
        return None
    return unpack_valid(bits).astype(np.float32)


def coarse_valid(now: Records, past: Records) -> F32:
    """Coarse sub-cells all of whose fine ones are valid in both passes, float32 (N, 16) of 0 and 1."""
    valid = common(now, past)
    if valid is None:
        return np.ones((len(now), COARSE * COARSE), dtype=np.float32)
    return np.asarray(valid[:, BLOCKS].min(axis=2), dtype=np.float32)


def flat(coarse: F32) -> F32:
    """(..., 16) as a matrix of 16 columns, for a product with `SPREAD`."""
    return np.ascontiguousarray(coarse, dtype=np.float32).reshape(-1, COARSE * COARSE)
