"""Records of cells, laid out so that few matrix products reach every sub-cell of many cells. Pure arrays.

A record keeps 10 m bands on 8 x 8 fine sub-cells and the others on 4 x 4 coarse ones. Here the fine ones come in four
quarters, each the same corner of all 16 coarse ones, so that what the other bands give is the same for each quarter.
All that a pair of looks is asked for is linear in these numbers up to a rectifier or a square (`pair`, `event`).
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

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
    """One look at N cells in B bands, F of them native at 10 m.

    Args:
        records: (N,).
        fine, others: memory to lay them out in.

    Attributes:
        fine: whole numbers 0..255 of the 10 m bands, quarter by quarter, float32 (F, 4, N, 16).
        others: of the other bands, (B - F, N, 16).
    """

    def __init__(self, records: Records, fine: F32 | None = None, others: F32 | None = None) -> None:
        n, f, c = len(records), records["fine"].shape[1], records["coarse"].shape[1]
        self.records = records
        self.fine = np.empty((f, QUARTERS, n, BLOCK), dtype=np.float32) if fine is None else fine
        self.others = np.empty((c, n, BLOCK), dtype=np.float32) if others is None else others
        # two rows of fine sub-cells lie in a row of coarse ones, and two of its columns in 16 bits: the left one below
        lines = records["fine"].view("<u8").reshape(n, f, COARSE, 2).transpose(3, 1, 0, 2)
        for lower, line in enumerate(lines):
            both = np.ascontiguousarray(line).view("<u2").reshape(f, n, BLOCK)
            self.fine[:, 2 * lower] = both & np.uint16(255)
            self.fine[:, 2 * lower + 1] = both >> np.uint16(8)
        self.others[:] = np.ascontiguousarray(records["coarse"].view("<u8").transpose(1, 0, 2)).view(np.uint8)

    def spectra(self, cells: slice) -> F32:
        """All bands of some cells on fine sub-cells, float32 (B, 4, n, 16): a copy."""
        fine, others = self.fine[:, :, cells], self.others[:, None, cells]
        return np.concatenate([fine, np.broadcast_to(others, (len(others), *fine.shape[1:]))])

    @cached_property
    def coarse(self) -> F32:
        """All bands on coarse sub-cells, float32 (B, N, 16): quarters of whole numbers, exact."""
        found = np.concatenate([self.fine[:, 0], self.others])
        part = found[: len(self.fine)]
        for quarter in range(1, QUARTERS):
            part += self.fine[:, quarter]
        part *= np.float32(1 / QUARTERS)
        return found

    @cached_property
    def means(self) -> F64:
        """Over a cell, float64 (B, N), exact."""
        means = self.coarse.reshape(-1, BLOCK) @ np.full(BLOCK, 1 / BLOCK, np.float32)
        return means.reshape(len(self.coarse), -1).astype(np.float64)


class Folded(NamedTuple):
    """A linear map of both looks of a `Pair`, as weights whose products are summed without rounding.

    Attributes:
        fine: float32 (R, 2 F), on the 10 m bands of the past, then of the new look.
        others: (R, 2 (B - F) + 1), on the other bands likewise, and on `ONE`.
        past, now, constant: the same weights by look, float64 (R, B), (R, B) and (R, 1).
    """

    fine: F32
    others: F32
    past: F64
    now: F64
    constant: F64


def folded(weights: F64, fine: int) -> Folded:
    """Of weights (R, 2 B + 1) on the bands of the past, those of the new look, and 1; the first `fine` are native."""
    exact = exact_weights(np.column_stack([weights[:, :-1], weights[:, -1] / ONE]), 8)
    past, now = np.split(exact[:, :-1], 2, axis=1)
    native, others = ((past[:, part], now[:, part]) for part in (np.s_[:fine], np.s_[fine:]))
    wide = exact.astype(np.float64)
    bands = past.shape[1]
    return Folded(
        np.hstack(native), np.hstack([*others, exact[:, -1:]]), wide[:, :bands], wide[:, bands:-1], wide[:, -1:] * ONE
    )


class Rows(NamedTuple):
    """Both looks of a `Pair`, of all its cells or of some.

    Attributes:
        fine: float32 (2 F, 4, N, 16), 10 m bands of the past and of the new look.
        others: (2 (B - F) + 1, N, 16), the other bands likewise, and one row of `ONE`.
        hidden: sub-cells that are not valid in both looks, bool (4, N, 16); None where all are (the usual case).
    """

    fine: F32
    others: F32
    hidden: NDArray[np.bool_] | None

    def of(self, cells: NDArray[np.intp]) -> Rows:
        """A copy of some cells."""
        fine, others = self.fine.take(cells, axis=2), self.others.take(cells, axis=1)
        return Rows(fine, others, None if self.hidden is None else self.hidden[:, cells])


class Pair:
    """A new look at N cells, and against it one past look after the other. Laid out when first asked for: the compiled
    kernels take the records as they are.

    Attributes:
        records, past_records: of both looks, (N,).
    """

    past_records: Records

    def __init__(self, now: Records) -> None:
        self.records = now

    def against(self, past: Records) -> Pair:
        """Itself, with records (N,) of another past look in the place of the last one."""
        self.past_records = past
        for of_the_last in ("past", "hidden"):
            self.__dict__.pop(of_the_last, None)
        return self

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def _memory(self) -> tuple[F32, F32]:
        """For both looks (see `Rows`), the constant filled in."""
        n, f, c = len(self), self.records["fine"].shape[1], self.records["coarse"].shape[1]
        fine = np.empty((2 * f, QUARTERS, n, BLOCK), dtype=np.float32)
        others = np.empty((2 * c + 1, n, BLOCK), dtype=np.float32)
        others[-1] = ONE
        return fine, others

    @cached_property
    def now(self) -> Seen:
        """The new look."""
        fine, others = self._memory
        return Seen(self.records, fine[len(fine) // 2 :], others[len(others) // 2 : -1])

    @cached_property
    def past(self) -> Seen:
        """The past look."""
        fine, others = self._memory
        return Seen(self.past_records, fine[: len(fine) // 2], others[: len(others) // 2])

    @cached_property
    def hidden(self) -> NDArray[np.bool_] | None:
        """See `Rows`."""
        bits = self.records["valid"] & self.past_records["valid"]
        if (bits == ALL).all():
            return None
        return np.ascontiguousarray(~unpack_valid(bits)[:, BLOCKS].transpose(2, 0, 1))

    @property
    def rows(self) -> Rows:
        """Of all cells, until another past look is laid in the place of this one."""
        _ = self.now, self.past  # lie in the memory now
        return Rows(*self._memory, self.hidden)

    def product(self, weights: Folded) -> tuple[F32, F32]:
        """A linear map on every sub-cell, in the two parts that it is the sum of.

        Returns:
            What the 10 m bands give, float32 (R, 4, N, 16), and what the others and the constant give, (R, N, 16).
        """
        fine, others, _ = self.rows
        on_fine = weights.fine @ fine.reshape(len(fine), -1)
        on_others = weights.others @ others.reshape(len(others), -1)
        return on_fine.reshape(-1, *fine.shape[1:]), on_others.reshape(-1, *others.shape[1:])

    def mean(self, weights: Folded) -> F64:
        """Of a linear map over a cell, every sub-cell counted, float64 (R, N), exact."""
        mean = weights.past @ self.past.means
        mean += weights.now @ self.now.means
        mean += weights.constant
        return np.asarray(mean)


def by_cell(values: F32) -> F32:
    """(4, N, 16) -> (N, 64), quarter by quarter."""
    return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(values.shape[1], -1)
