"""Radiometric consistency: the output, seen again by the sensor's own optics, gives back what was measured.

Back-projection (M. Irani and S. Peleg 1991, doi:10.1016/1049-9652(91)90045-L): degrade the fine image, enlarge what it
lacks, add it. Pure arithmetic; every sum is taken in a fixed order, whatever the shape of the block.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from onboard.restore import anchor
from onboard.restore.model import Consistency

F32 = NDArray[np.float32]


def margin(held: Consistency, scale: int) -> int:
    """Coarse pixels at each border that `degrade` takes away."""
    return -(-(len(held.taps) - scale) // (2 * scale))


def halo(held: Consistency, scale: int) -> int:
    """Coarse pixels at each border that `correct` takes away, and `degrade` once more to measure what is left."""
    return held.rounds * (margin(held, scale) + anchor.REACH)


def degrade(fine: F32, held: Consistency, scale: int) -> F32:
    """What the sensor would measure of it.

    Args:
        fine: float32 (B, scale h, scale w).

    Returns:
        float32 (B, h - 2 m, w - 2 m) with m of `margin`.
    """
    cut = margin(held, scale)
    first = cut * scale - (len(held.taps) - scale) // 2
    for axis in (1, 2):
        size = fine.shape[axis] // scale - 2 * cut
        parts: list[F32] = []
        for k, tap in enumerate(held.taps):
            start = first + k
            window = [slice(None)] * 3
            window[axis] = slice(start, start + scale * (size - 1) + 1, scale)
            parts.append(fine[tuple(window)] * np.float32(tap))
        fine = reduce(np.add, parts)
    return fine


def correct(fine: F32, coarse: F32, held: Consistency, scale: int) -> F32:
    """Hold a fine block to the coarse block it was made of.

    Args:
        fine: float32 (B, scale h, scale w).
        coarse: float32 (B, h, w), what was measured.

    Returns:
        float32, smaller at each border by `halo` coarse pixels.
    """
    for _ in range(held.rounds):
        cut = margin(held, scale)
        added, denominator = anchor.enlarge(-deviation(fine, coarse, held, scale), scale)
        cut += anchor.REACH
        inside = slice(cut * scale, -cut * scale)
        fine = np.asarray(fine[:, inside, inside] + added / np.float32(denominator), np.float32)
        coarse = coarse[:, cut:-cut, cut:-cut]
    return fine


def deviation(fine: F32, coarse: F32, held: Consistency, scale: int) -> F32:
    """What is measured again less what was measured, float32, smaller at each border by `margin`."""
    cut = margin(held, scale)
    return degrade(fine, held, scale) - coarse[:, cut:-cut, cut:-cut]
