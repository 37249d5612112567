"""Exact nearest neighbours over INT8 latents: "where else does it look like this?" Pure arrays, one block at a time.

What makes ten million rows cheap on one core, and still exact:

1. A row is kept as a **head** (the components that vary most, converted and multiplied for every row) and a **tail**
   (only for the few rows that can still win). By Cauchy-Schwarz a.b <= head.head + |tail||tail|, so a row whose bound
   misses the current k-th best is out without its tail being read.
2. Dot products of bytes are taken by BLAS in float32 and are exact: every partial sum is a whole number below 2^24
   (256 components x 255 x 255 = 16.6 million), so neither the order of summation nor FMA can change a bit of it.
3. Each row carries a checksum, sum of w_j x_j with small whole weights, that the same product checks (Huang & Abraham
   1984, algorithm-based fault tolerance): a flipped byte is noticed in the row it hits, without a second pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Index = NDArray[np.int64]

BLOCK_ROWS = 4096
"""Rows converted at a time: 512 KiB of float32 heads, which stay in a level-2 cache."""
HEAD = 32
"""Components of a head."""
MAX_LATENT = 256
SLACK = 8.0
"""Added to the bound, in squared steps of a latent: more than the float32 rounding in it (4 of at most 1 each)."""
KINDS = ("cosine", "euclidean")


class DamagedRowsError(ValueError):
    """A row no longer matches its checksum."""


@dataclass(frozen=True)
class Layout:
    """How latents (L,) lie in the archive.

    Attributes:
        order: int64 (L,), components by falling variance; decides speed, never a result.
        zero_point: of the artefact's output; distances are between `stored - zero_point`.
    """

    order: Index
    zero_point: int

    def __post_init__(self) -> None:
        if not 2 <= len(self.order) <= MAX_LATENT or sorted(self.order.tolist()) != list(range(len(self.order))):
            raise ValueError(f"no order of 2..{MAX_LATENT} components")

    @property
    def head(self) -> int:
        """Components of the head."""
        return min(HEAD, len(self.order) // 2)

    @property
    def weights(self) -> F32:
        """Checksum weights 1..251, float32 (L,)."""
        return (1 + np.arange(len(self.order)) * 97 % 251).astype(np.float32)


@dataclass(frozen=True)
class Block:
    """Up to `BLOCK_ROWS` rows of an archive.

    Attributes:
        head: uint8 (n, H).
        energy: float32 (n,), squared norm about the zero point; exact.
        tail_norm: float32 (n,), norm of the tail, rounded up.
        head_check, tail_check: float32 (n,), the weighted sums; exact.
        tail: gives uint8 (m, L - H) of the rows asked for, int64 (m,).
    """

    head: U8
    energy: F32
    tail_norm: F32
    head_check: F32
    tail_check: F32
    tail: Callable[[Index], U8]


def make_block(latents: U8, layout: Layout) -> Block:
    """A block of latents, uint8 (n, L), as they were remembered."""
    split, weights = layout.head, layout.weights
    ordered = latents[:, layout.order]
    head, tail = np.ascontiguousarray(ordered[:, :split]), np.ascontiguousarray(ordered[:, split:])
    centred = ordered.astype(np.float32) - np.float32(layout.zero_point)
    tail_energy = np.einsum("nl,nl->n", centred[:, split:], centred[:, split:])
    return Block(
        head=head,
        energy=np.einsum("nl,nl->n", centred, centred),
        tail_norm=np.nextafter(np.sqrt(tail_energy), np.float32(np.inf)),
        head_check=head.astype(np.float32) @ weights[:split],
        tail_check=tail.astype(np.float32) @ weights[split:],
        tail=lambda rows: tail[rows],
    )


class Search:
    """The K rows nearest to any of M queries. Feed it every block, then ask for `hits`.

    Args:
        queries: uint8 (M, L), M >= 1.
        layout: of the archive.
        kind: "cosine" (1 - cosine similarity, 0..2) or "euclidean".
        top: K >= 1.
    """

    def __init__(self, queries: U8, layout: Layout, kind: str, top: int) -> None:
        if kind not in KINDS or top < 1 or queries.ndim != 2 or queries.shape[1] != len(layout.order):
            raise ValueError(f"cannot search: kind {kind!r}, top {top}, queries {queries.shape}")
        self._kind, self._top, self._split = kind, top, layout.head
        self._b = queries[:, layout.order].astype(np.float32) - np.float32(layout.zero_point)
        # x.b with x as stored; the zero point's part of it is the same in every row
        self._offset = self._b * np.float32(layout.zero_point)
        self._energy = np.einsum("ml,ml->m", self._b, self._b).astype(np.float64)
        tails = self._b[:, self._split :].astype(np.float64)
        self._tail_norm = np.nextafter(np.sqrt((tails**2).sum(axis=1)).astype(np.float32), np.float32(np.inf))
        self._weights = layout.weights
        self._heads = np.empty((BLOCK_ROWS, self._split), dtype=np.float32)
        self._keys = np.empty(0, dtype=np.float64)
        self._rows = np.empty(0, dtype=np.int64)
        self._which = np.empty(0, dtype=np.int64)

    def feed(self, first: int, block: Block) -> None:
        """Compare a block whose first row has the number `first`; blocks come in the order of their numbers.

        Raises:
            DamagedRowsError: a row that was looked at does not match its checksum.
        """
        heads = self._heads[: len(block.head)]
        np.copyto(heads, block.head)
        if not np.array_equal(heads @ self._weights[: self._split], block.head_check):
            raise DamagedRowsError("a head does not match its checksum")
        dots = [heads @ b[: self._split] - o[: self._split].sum() for b, o in zip(self._b, self._offset, strict=True)]
        rows = self._candidates(block, dots)
        if len(rows):
            self._refine(first, block, dots, rows)

    def _candidates(self, block: Block, dots: list[F32]) -> Index:
        """Rows that can still be among the K nearest."""
        if len(self._keys) < self._top:
            return np.arange(len(block.head))
        worst = self._keys[-1]
        possible = np.zeros(len(block.head), dtype=bool)
        norms = np.sqrt(block.energy) if self._kind == "cosine" else None
        for dot, energy, tail in zip(dots, self._energy, self._tail_norm, strict=True):
            if norms is None:
                least = (block.energy + np.float32(energy - worst)) * np.float32(0.5)
            else:
                least = norms * np.float32((1.0 - worst) * np.sqrt(energy))
            possible |= block.tail_norm * tail + dot >= least - np.float32(SLACK)
        return np.flatnonzero(possible)

    def _refine(self, first: int, block: Block, dots: list[F32], rows: Index) -> None:
        """The exact distance of the candidates, and the K best of them and those before."""
        tails = block.tail(rows).astype(np.float32)
        if not np.array_equal(tails @ self._weights[self._split :], block.tail_check[rows]):
            raise DamagedRowsError("a tail does not match its checksum")
        norms = block.energy[rows].astype(np.float64)
        keys = np.empty((len(self._b), len(rows)), dtype=np.float64)
        for m, (dot, b, offset) in enumerate(zip(dots, self._b, self._offset, strict=True)):
            whole = dot[rows].astype(np.float64) + (tails @ b[self._split :] - offset[self._split :].sum())
            if self._kind == "cosine":
                keys[m] = 1.0 - whole / np.maximum(np.sqrt(norms * self._energy[m]), 1e-12)
            else:
                keys[m] = norms + self._energy[m] - 2.0 * whole
        which = keys.argmin(axis=0)
        best = keys[which, np.arange(len(rows))]
        if len(self._keys) == self._top:
            better = best < self._keys[-1]  # equal ones come later in the archive and lose
            best, rows, which = best[better], rows[better], which[better]
        all_keys = np.concatenate([self._keys, best])
        all_rows = np.concatenate([self._rows, first + rows])
        all_which = np.concatenate([self._which, which])
        chosen = np.lexsort((all_rows, all_keys))[: self._top]
        self._keys, self._rows, self._which = all_keys[chosen], all_rows[chosen], all_which[chosen]

    def hits(self, scale: float) -> tuple[Index, F64, Index]:
        """The nearest rows, best first, equal ones by row: (row numbers, distances, which query), each (<= K,).

        Args:
            scale: of the artefact's output; Euclidean distances come in units of the latent.
        """
        distances = self._keys if self._kind == "cosine" else np.sqrt(self._keys) * scale
        return self._rows, distances, self._which
