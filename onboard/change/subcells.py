"""Fine and coarse sub-cells, and the pooling of what is known of them. Pure arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import COARSE, FINE

F32 = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.int32)

INPUT_ZERO = 128
INPUT_STEP = 1 / 24
"""Of the uint8 input, in standard deviations: x = (u - 128) / 24."""

BLOCKS = np.arange(FINE * FINE).reshape(FINE // 2, 2, FINE // 2, 2).transpose(0, 2, 1, 3).reshape(COARSE * COARSE, 4)
"""Fine sub-cells of each coarse one, (16, 4)."""


def top_root_mean(squares: F32, count: int) -> F32:
    """Mean of the square roots of the `count` greatest of each row; none is negative."""
    # then they are in the order of their bits, and whole numbers need no look for nan
    greatest = _greatest(squares.view(np.int32), count).view(np.float32)
    return np.asarray(np.sqrt(greatest).mean(axis=1), dtype=np.float32)


def top_mean(values: F32, count: int) -> F32:
    """Mean of the `count` greatest of each row."""
    return np.asarray(_greatest(values, count).mean(axis=1), dtype=np.float32)


def _greatest(values: NDArray[Number], count: int) -> NDArray[Number]:
    """The `count` greatest of each row in order; cheaper than a partition, whose order is the processor's own."""
    return np.sort(values, axis=1)[:, values.shape[1] - count :]
