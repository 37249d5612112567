"""No-data, filled from what lies around it before a network looks. Pure, in whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FILL_ROUNDS = 4
"""Pixels that valid ones grow into no-data; as far from the border of a block, what is filled depends on the block."""


def fill(dn: NDArray[np.uint16], valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Grow valid pixels into no-data as whole-number means of their valid neighbours; 0 further inside.

    Args:
        dn: uint16 (B, H, W).
        valid: bool (B, H, W).
    """
    values = np.where(valid, dn, 0).astype(np.int64)
    known = valid.astype(np.int64)
    for _ in range(FILL_ROUNDS):
        sums, counts = _around(values * known), _around(known)
        fresh = (known == 0) & (counts > 0)
        values[fresh] = sums[fresh] // counts[fresh]
        known[fresh] = 1
    return values.astype(np.uint16)


def _around(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum over 3 x 3 px, nothing beyond the border."""
    wide = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    return np.asarray(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:])
