"""Where a new pass lies against the memory: a smooth displacement of whole cells, estimated from remembered means.

The memory's fine sub-cells (means over 4 x 4 px) are correlated with the new pass's own means at every displacement of
up to 8 px, for blocks of cells of the pre-scan's sample. A plane is fitted robustly through the peaks, because two
products of one place differ by a shift and a slight scale. Cells are then read where their past lies, to the whole
pixel. Sentinel-2 against itself gives zeros, and then nothing is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onboard.abreast import side_by_side
from onboard.change.record import FINE, FINE_PX, Records, is_clear
from onboard.native.library import kernels
from onboard.native.pixels import correlations
from onboard.sense.chunks import Chunk
from onboard.sense.grid import CELL
from onboard.sense.tiles import U8

SEARCH_PX = 8
BLOCK_CELLS = 4
"""Cells correlated together: fewer give false peaks over fields, more blur a scale difference."""
MIN_BLOCKS = 6
MAX_BLOCKS = 96
"""More add time, not accuracy: three parameters are fitted."""
CAUCHY_PX = 1.0
SLOPE_PRIOR = 1.2
AGREEMENT_PX = 1.5
STILL_PX = 0.499
"""Below it nothing rounds to a whole pixel."""
MIN_AGREEMENT = 0.2
"""Share of the peaks that must lie within `AGREEMENT_PX` of a displacement."""

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Displacement:
    """(dy, dx) px of the new pass against the grid: plane @ (1, row + 0.5, col + 0.5) of a cell.

    Attributes:
        plane: float64 (3, 2); zeros mean "not moved".
    """

    plane: F64

    @classmethod
    def none(cls) -> Displacement:
        """No displacement."""
        return cls(np.zeros((3, 2)))

    def of_cells(self, rows: NDArray[np.integer], cols: NDArray[np.integer]) -> NDArray[np.int64]:
        """Whole pixels (dy, dx) for each cell, int64 (n, 2), within the search range."""
        where = np.stack([np.ones(len(rows)), rows + 0.5, cols + 0.5], axis=1)
        moved: NDArray[np.int64] = np.clip(np.rint(where @ self.plane), -SEARCH_PX, SEARCH_PX).astype(np.int64)
        return moved

    def of_chunk(self, chunk: Chunk) -> NDArray[np.int64]:
        """The same for the cells of a chunk, row by row."""
        if self._rests(chunk):
            return np.zeros((chunk.cells, 2), np.int64)
        rows, cols = np.divmod(np.arange(chunk.cells), chunk.cols)
        return self.of_cells(rows + chunk.row, cols + chunk.col)

    def _rests(self, chunk: Chunk) -> bool:
        """Whether no cell of a chunk is moved: those in its corners are what is moved most."""
        row, col = chunk.row + chunk.rows / 2, chunk.col + chunk.cols / 2
        high, wide = (chunk.rows - 1) / 2, (chunk.cols - 1) / 2
        return all(abs(a + b * row + c * col) + abs(b) * high + abs(c) * wide < STILL_PX for a, b, c in self._axes)

    @cached_property
    def _axes(self) -> list[list[float]]:
        """The plane's coefficients along y and along x."""
        found: list[list[float]] = self.plane.T.tolist()
        return found

    def moves(self, rows: int, cols: int) -> bool:
        """Whether any cell of a grid is moved at all."""
        r, c = np.array([0, 0, rows - 1, rows - 1]), np.array([0, cols - 1, 0, cols - 1])
        return bool(self.of_cells(r, c).any())


@dataclass(frozen=True)
class Sample:
    """One chunk of the pre-scan: input uint8 (F, H, W) of the 10 m bands, past records (rows, cols) of its cells."""

    row: int
    col: int
    fine: U8
    past: Records


def estimate(samples: Sequence[Sample], threads: int = 1) -> Displacement:
    """The displacement that the sample shows; none where it shows too little."""
    blocks = [(sample, row, col) for sample in samples for row, col in _clear_blocks(sample)]
    if len(blocks) < MIN_BLOCKS:
        return Displacement.none()
    step = -(-len(blocks) // MAX_BLOCKS)
    each = side_by_side(lambda _, block: estimate_peak(*_cut(*block)), blocks[::step], range(threads))
    peaks = [found for found in each if found is not None]
    if len(peaks) < MIN_BLOCKS:
        return Displacement.none()
    where, moved, weight = (np.array(column) for column in zip(*peaks, strict=True))
    return Displacement(_robust_plane(where, moved, weight))


def _block_shape(sample: Sample) -> tuple[int, int]:
    """(rows, cols) of the blocks of a sample, in cells."""
    high = 2 if len(sample.past) >= 2 else 1
    return high, BLOCK_CELLS // high


def _clear_blocks(sample: Sample) -> list[tuple[int, int]]:
    """First (row, col) in the sample of each block whose cells are all clear."""
    rows, cols = sample.past.shape
    high, wide = _block_shape(sample)
    clear = is_clear(sample.past.reshape(-1)).reshape(rows, cols)
    return [
        (row, col)
        for row in range(0, rows - high + 1, high)
        for col in range(0, cols - wide + 1, wide)
        if clear[row : row + high, col : col + wide].all()
    ]


def _cut(sample: Sample, row: int, col: int) -> tuple[tuple[float, float, float], U8, NDArray[np.uint8]]:
    """(position, new pixels with a margin, past means) of a block."""
    high, wide = _block_shape(sample)
    past = sample.past[row : row + high, col : col + wide]
    top, left = row * CELL - SEARCH_PX, col * CELL - SEARCH_PX
    bottom, right = (row + high) * CELL + SEARCH_PX, (col + wide) * CELL + SEARCH_PX
    if top < 0 or left < 0 or bottom > sample.fine.shape[1] or right > sample.fine.shape[2]:
        # at the edge of the chunk: repeat its last pixels
        ys = np.clip(np.arange(top, bottom), 0, sample.fine.shape[1] - 1)
        xs = np.clip(np.arange(left, right), 0, sample.fine.shape[2] - 1)
        pixels = sample.fine[:, ys[:, None], xs]
    else:
        pixels = sample.fine[:, top:bottom, left:right]
    fine = past["fine"].reshape(high, wide, -1, FINE, FINE).transpose(2, 0, 3, 1, 4)
    where = (1.0, sample.row + row + high / 2, sample.col + col + wide / 2)
    return where, pixels, fine.reshape(-1, high * FINE, wide * FINE)


def estimate_peak(
    where: tuple[float, float, float], pixels: U8, past: NDArray[np.uint8]
) -> tuple[tuple[float, float, float], tuple[float, float], float] | None:
    """(position, (dy, dx), weight) of the correlation's peak; None where it lies on the border of the search."""
    bands, side = len(past), 2 * SEARCH_PX + 1
    n = past[0].size
    reference = past.astype(np.float64) * n - past.sum(axis=(1, 2), dtype=np.float64)[:, None, None]
    correlate = _sums if kernels() is None else correlations
    dots, sums, squares = correlate(pixels, reference, side).transpose(2, 1, 0)  # (bands, displacements) each
    contrast = np.sqrt((reference**2).sum(axis=(1, 2)) / n**2 + 1e-6) * n
    # without contrast the variance is nothing but rounding
    found = dots / np.sqrt(np.maximum(squares - sums**2 / n, 1.0)) / contrast[:, None]
    score = (sum(found[1:], start=found[0]) / bands).reshape(side, side)
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    if not (0 < y < side - 1 and 0 < x < side - 1):
        return None
    down = y - SEARCH_PX + _vertex(score[y - 1, x], score[y, x], score[y + 1, x])
    right = x - SEARCH_PX + _vertex(score[y, x - 1], score[y, x], score[y, x + 1])
    return where, (float(down), float(right)), max(float(score[y, x]), 0.0) ** 2


def _sums(pixels: U8, reference: F64, side: int) -> F64:
    """Sums of pixels over 4 x 4, times the reference (F, rows, cols), as they are, and squared, all added up at every
    displacement: float64 (side * side, F, 3), whole numbers and exact."""
    bands, rows, cols = reference.shape
    windows = np.lib.stride_tricks.sliding_window_view
    lines = windows(pixels, FINE_PX, axis=1).sum(axis=3, dtype=np.uint16)
    boxes = windows(lines, FINE_PX, axis=2).sum(axis=3, dtype=np.uint16).astype(np.float64)
    spans = rows * FINE_PX - FINE_PX + 1, cols * FINE_PX - FINE_PX + 1
    shifted = windows(boxes, spans, axis=(1, 2))[:, :side, :side, ::FINE_PX, ::FINE_PX]
    now = shifted.reshape(bands, side * side, -1)
    dots = np.matmul(now, reference.reshape(bands, -1, 1))[..., 0]
    return np.stack([dots, now.sum(axis=2), np.einsum("fdn,fdn->fd", now, now)], axis=2).transpose(1, 0, 2)


def _vertex(left: float, middle: float, right: float) -> float:
    """Where the parabola through three neighbours peaks, -0.5..0.5 of a step."""
    return float(0.5 * (left - right) / (left - 2 * middle + right - 1e-9))


def _robust_plane(where: F64, moved: F64, weight: F64) -> F64:
    """Displacement (3, 2) through the peaks: none, a shift, or a plane, as far as the peaks insist.

    Each is fitted with Cauchy weights. A richer one must earn its parameters (Schwarz 1978), or false peaks over clouds
    and fields would tilt a pass that lies where it should; and enough of the peaks must agree with it: scattered evenly
    over the search, a fortieth of them would by chance.
    """
    weight = weight / max(float(weight.mean()), 1e-12)
    best, least = np.zeros((3, 2)), _cost(where, moved, weight, np.zeros((3, 2)), 0)
    for terms in (1, 3):
        plane = np.zeros((3, 2))
        plane[0] = np.median(moved, axis=0)
        prior = np.diag([1e-6, SLOPE_PRIOR, SLOPE_PRIOR])[:terms, :terms]
        columns = where[:, :terms]
        for _ in range(20):
            w = weight / (1 + ((moved - where @ plane) ** 2).sum(axis=1) / CAUCHY_PX**2)
            weighted = (columns * w[:, None]).T
            plane[:terms] = np.linalg.solve(weighted @ columns + prior * w.mean(), weighted @ moved)
        cost = _cost(where, moved, weight, plane, 2 * terms)
        agree = np.hypot(*(moved - where @ plane).T) <= AGREEMENT_PX
        if cost < least and agree.sum() >= max(MIN_BLOCKS, MIN_AGREEMENT * len(moved)):
            best, least = plane, cost
    return best


def _cost(where: F64, moved: F64, weight: F64, plane: F64, parameters: int) -> float:
    """Schwarz's criterion under a two-dimensional Cauchy distribution of the peaks' errors."""
    misfit = np.log1p(((moved - where @ plane) ** 2).sum(axis=1) / CAUCHY_PX**2)
    return float(3 * (weight * misfit).sum() + parameters * np.log(len(moved)))
