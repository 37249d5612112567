"""What columns tell of their stripes: by what a denoiser takes off them, and by what was taken off before. Pure.

A column's mean of what a denoiser takes off is a share of its stripe. What medians took off is stripe and texture, and
texture is what bands have in common, so that all bands' columns tell of each one's. How far medians are to be believed
depends on the lines that there are. Sums are float64 term after term: every processor gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
STRIPE_PX = 32
"""Longest wavelength across the columns that counts as stripes."""
NEAR = 2
"""Columns on each side that tell of one too."""
SHARE, ROUNDS = 0.7, 2
"""Of what is taken off alone is told, where nothing else is known: all of it, twice, is too much."""


@dataclass(frozen=True, eq=False)
class Told:
    """What to take off each band's columns, in turn: the denoiser looks again in between.

    Attributes:
        lines: of an image, ascending; for others `turns` are interpolated over the logarithm of their number.
        turns: float64 (T, L, near + 1, B, 2 B): of turn t and `lines[l]`, from what is taken off all bands' columns on
            average, and behind it from what their offsets are so far, both summed over the two columns that are so
            far away (that of the stripe itself first), to each band's stripes. All as shares of full scale.
        narrow: whether only wavelengths up to `STRIPE_PX` are told, and told from.
    """

    lines: tuple[int, ...]
    turns: F64
    narrow: bool = True

    @classmethod
    def of_plain(cls, raw: dict[str, Any], bands: int) -> Told:
        """From a manifest's lists; ValueError where a shape is another, or a number is none."""
        found = cls(tuple(map(int, raw["lines"])), np.array(raw["turns"], np.float64))
        shape = (len(found.turns), len(found.lines), NEAR + 1, bands, 2 * bands)
        if not found.lines or found.lines[0] < 1 or list(found.lines) != sorted(set(found.lines)):
            raise ValueError("columns are not told by ascending numbers of lines")
        if found.turns.shape != shape or not np.isfinite(found.turns).all():
            raise ValueError(f"columns are not told of {bands} bands")
        return found

    @classmethod
    def of_taken(cls, matrix: F64) -> Told:
        """From what is taken off alone (B, B), as models of before tell it."""
        bands = len(matrix)
        if matrix.shape != (bands, bands) or not np.isfinite(matrix).all():
            raise ValueError("stripes are not told by a square of numbers")
        one = np.hstack([SHARE * matrix, np.zeros((bands, bands))])
        return cls((1,), np.broadcast_to(one, (ROUNDS, 1, 1, bands, 2 * bands)), narrow=False)

    @property
    def bands(self) -> int:
        """That tell of each other; an image may have several times as many."""
        return int(self.turns.shape[3])

    def stripes(self, turn: int, lines: int, taken: F64, offsets: F64) -> F64:
        """What else to take off the columns, (B, W), shares of full scale.

        Args:
            turn: from 0.
            lines: of the image.
            taken: (B, W), what a denoiser takes off each column on average with `offsets` off.
            offsets: (B, W), what has been taken off.
        """
        columns = np.concatenate([taken, offsets])
        columns = narrowed(columns) if self.narrow else columns - columns.mean(1, keepdims=True)
        return weighted(self._of_lines(turn, lines), columns)

    def _of_lines(self, turn: int, lines: int) -> F64:
        place = float(np.interp(np.log2(lines), np.log2(self.lines), np.arange(len(self.lines))))
        low = min(int(place), len(self.lines) - 1)
        high = min(low + 1, len(self.lines) - 1)
        return np.asarray(self.turns[turn, low] + (place - low) * (self.turns[turn, high] - self.turns[turn, low]))


def narrowed(columns: F64) -> F64:
    """(N, W) without what changes slowly across: less the mean of `STRIPE_PX` + 1 columns, fewer at the borders."""
    width, half = columns.shape[1], STRIPE_PX // 2
    sums = np.concatenate([np.zeros((len(columns), 1)), np.cumsum(columns, axis=1)], axis=1)
    first, behind = np.maximum(np.arange(width) - half, 0), np.minimum(np.arange(width) + half + 1, width)
    return np.asarray(columns - (sums[:, behind] - sums[:, first]) / (behind - first))


def neighbours(columns: F64, distance: int) -> F64:
    """(N, W) -> sums of the two columns so far away, the last one again beyond the border; the column itself at 0."""
    if not distance:
        return columns
    wide, width = np.pad(columns, ((0, 0), (distance, distance)), mode="edge"), columns.shape[1]
    return np.asarray(wide[:, :width] + wide[:, 2 * distance :])


def weighted(weights: F64, columns: F64) -> F64:
    """(near + 1, B, N) of columns (N, W) and their neighbours -> (B, W), term after term."""
    found = np.zeros((weights.shape[1], columns.shape[1]))
    for distance, part in enumerate(weights):
        for column, share in zip(neighbours(columns, distance), part.T, strict=True):
            found += share[:, None] * column
    return found
