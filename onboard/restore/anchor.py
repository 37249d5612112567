"""Bicubic enlargement in whole numbers: what the network corrects. Pure arithmetic on arrays.

Keys' kernel with a = -1/2 (R. Keys 1981, doi:10.1109/TASSP.1981.1163711), at the phases (i + 1/2) / scale - 1/2.
At these phases its weights are fractions with a common denominator, so that no rounding depends on where a tile begins.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 2
"""Input pixels on each side of an output pixel that it depends on."""
SCALES = (1, 2, 3, 4)


@lru_cache(maxsize=len(SCALES))
def weights(scale: int) -> tuple[tuple[tuple[int, ...], ...], int]:
    """For each phase the whole-number weights of the taps -2..2, and what they sum to."""
    rows = [
        [_keys(abs(Fraction(2 * i + 1, 2 * scale) - Fraction(1, 2) - tap)) for tap in range(-REACH, REACH + 1)]
        for i in range(scale)
    ]
    denominator = max(value.denominator for row in rows for value in row)
    while any(denominator % value.denominator for row in rows for value in row):
        denominator += 1
    return tuple(tuple(int(value * denominator) for value in row) for row in rows), denominator


def enlarge(block: NDArray[Any], scale: int) -> tuple[NDArray[Any], int]:
    """Enlarge a block that carries a border of `REACH` pixels.

    Args:
        block: uint16, or float32, (B, h + 4, w + 4).
        scale: of `SCALES`.

    Returns:
        (B, scale h, scale w): whole numbers for uint16, float32 for float32; and the denominator to divide them by.
    """
    kind: Any = np.float32 if block.dtype == np.float32 else np.int32
    if scale == 1:
        return block[:, REACH:-REACH, REACH:-REACH].astype(kind), 1
    rows, denominator = weights(scale)
    worst = int(np.iinfo(np.uint16).max) * max(sum(abs(w) for w in row) for row in rows) ** 2
    if kind is np.int32 and worst > np.iinfo(np.int32).max:
        kind = np.int64
    bands, height, width = block.shape[0], block.shape[1] - 2 * REACH, block.shape[2] - 2 * REACH
    source = block.astype(kind)
    wide = np.empty((bands, height + 2 * REACH, width, scale), kind)
    for phase, row in enumerate(rows):
        wide[..., phase] = _sum([source[:, :, tap : tap + width] for tap in range(2 * REACH + 1)], row)
    wide = wide.reshape(bands, height + 2 * REACH, width * scale)
    tall = np.empty((bands, height, scale, width * scale), kind)
    for phase, row in enumerate(rows):
        tall[:, :, phase] = _sum([wide[:, tap : tap + height] for tap in range(2 * REACH + 1)], row)
    return tall.reshape(bands, height * scale, width * scale), denominator**2


def _sum(parts: list[NDArray[Any]], row: tuple[int, ...]) -> NDArray[Any]:
    """The weighted sum, always in the same order; a weight of 0 costs nothing."""
    used = [(part, part.dtype.type(weight)) for part, weight in zip(parts, row, strict=True) if weight]
    total: NDArray[Any] = used[0][0] * used[0][1]
    for part, weight in used[1:]:
        total += part * weight
    return total


def _keys(t: Fraction) -> Fraction:
    if t <= 1:
        return Fraction(3, 2) * t**3 - Fraction(5, 2) * t**2 + 1
    return Fraction(-1, 2) * t**3 + Fraction(5, 2) * t**2 - 4 * t + 2 if t < 2 else Fraction(0)
