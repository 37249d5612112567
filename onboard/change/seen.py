"""Records of cells, laid out so that one matrix product reaches every sub-cell of many cells. Pure arrays.

A record keeps 10 m bands on 8 x 8 fine sub-cells and the others on 4 x 4 coarse ones. Here the fine ones come in four
quarters, each the same corner of all 16 coarse ones, so that a coarse band is the same row of numbers for each quarter.
All that a pair of looks is asked for is linear in these rows up to a rectifier or a square (`pair`, `event`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onboard.change.exact import exact_weights
from onboard.change.record import COARSE, Records, unpack_valid
from onboard.change.subcells import BLOCKS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

QUARTERS = 4
BLOCK = COARSE * COARSE
ONE = 256.0
"""Of the row that constants are multiplied with: as great as the greatest input, so that they are summed as exactly."""
ALL = np.uint64(2**64 - 1)


class Seen:
    """One look at N cells in B bands.

    Args:
        records: (N,).
        rows: memory to lay them out in, float32 (B, 4, N, 16).

    Attributes:
        rows: whole numbers 0..255, 10 m bands first, quarter by quarter.
        fine: number of 10 m bands.
    """

    def __init__(self, records: Records, rows: F32 | None = None) -> None:
        n, self.fine = len(records), records["fine"].shape[1]
        bands = self.fine + records["coarse"].shape[1]
        self.records = records
        self.rows = np.empty((bands, QUARTERS, n, BLOCK), dtype=np.float32) if rows is None else rows
        # two rows of fine sub-cells lie in a row of coarse ones, and two of its columns in 16 bits: the left one below
        lines = records["fine"].view("<u8").reshape(n, self.fine, COARSE, 2).transpose(3, 1, 0, 2)
        for lower, line in enumerate(lines):
            both = np.ascontiguousarray(line).view("<u2").reshape(self.fine, n, BLOCK)
            self.rows[: self.fine, 2 * lower] = both & np.uint16(255)
            self.rows[: self.fine, 2 * lower + 1] = both >> np.uint16(8)
        others = np.ascontiguousarray(records["coarse"].view("<u8").transpose(1, 0, 2)).view(np.uint8)
        self.rows[self.fine :] = others[:, None]

    @cached_property
    def coarse(self) -> F32:
        """All bands on coarse sub-cells, float32 (B, N, 16): quarters of whole numbers, exact."""
        found, fine = self.rows[:, 0].copy(), self.rows[: self.fine]
        for quarter in range(1, QUARTERS):
            found[: self.fine] += fine[:, quarter]
        found[: self.fine] *= np.float32(1 / QUARTERS)
        return found

    @cached_property
    def means(self) -> F64:
        """Over a cell, float64 (B, N), exact."""
        means = self.coarse.reshape(-1, BLOCK) @ np.full(BLOCK, 1 / BLOCK, np.float32)
        return means.reshape(len(self.rows), -1).astype(np.float64)


class Pair:
    """A new look at N cells in B bands, and against it one past look after the other.

    Attributes:
        now, past: both looks.
        rows: float32 (2 B + 1, 4, N, 16): the rows of the past, of the new look, and one of `ONE`.
        hidden: sub-cells that are not valid in both looks, bool (4, N, 16); None where all are (the usual case).
    """

    past: Seen
    hidden: NDArray[np.bool_] | None

    def __init__(self, now: Records) -> None:
        self._bands = now["fine"].shape[1] + now["coarse"].shape[1]
        self.rows = np.empty((2 * self._bands + 1, QUARTERS, len(now), BLOCK), dtype=np.float32)
        self.rows[-1] = ONE
        self.now = Seen(now, self.rows[self._bands : -1])

    def against(self, past: Records) -> Pair:
        """Itself, with records (N,) of another past look in the place of the last one."""
        self.past = Seen(past, self.rows[: self._bands])
        bits = self.now.records["valid"] & past["valid"]
        everything = bool((bits == ALL).all())
        self.hidden = None if everything else np.ascontiguousarray(~unpack_valid(bits)[:, BLOCKS].transpose(2, 0, 1))
        return self

    def __len__(self) -> int:
        return len(self.now.records)

    def product(self, weights: F32) -> F32:
        """Weights (R, 2 B + 1) on every sub-cell: float32 (R, 4 N 16)."""
        return np.asarray(weights @ self.rows.reshape(len(self.rows), -1))

    def means(self) -> F64:
        """Of `rows` over a cell, float64 (2 B + 1, N), exact."""
        return np.concatenate([self.past.means, self.now.means, np.full((1, len(self)), ONE)])


def folded(weights: F64) -> F32:
    """A linear map of both looks, (R, 2 B + 1) on past bands, new ones and 1, as exact weights on `Pair.rows`."""
    return exact_weights(np.column_stack([weights[:, :-1], weights[:, -1] / ONE]), 8)


def by_cell(values: F32) -> F32:
    """(4, N, 16) -> (N, 64), quarter by quarter."""
    return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(values.shape[1], -1)
