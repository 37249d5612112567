"""Learns to predict the 10 m bands of one look from all bands of the other, and how much that leaves. Pure arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onboard.change.seen import Seen
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.native import usual as native
from onboard.native.records import available

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLOCK_CELLS = 64


def standardised(moments: F64) -> tuple[F64, F64]:
    """(mean, covariance) of standardised log reflectance, from the moments of the network's input with 1 behind it."""
    count = max(float(moments[-1, -1]), 1.0)
    mean = moments[-1, :-1] / count
    covariance = INPUT_STEP**2 * (moments[:-1, :-1] / count - np.outer(mean, mean))
    return INPUT_STEP * (mean - INPUT_ZERO), covariance


def predictions(a: Seen, b: Seen, valid: NDArray[np.bool_], ridge: float) -> tuple[tuple[F64, F64], tuple[F64, F64]]:
    """Linear maps from all bands of one look to the 10 m ones of the other, a from b and then b from a.

    Everything is found from one matrix of moments of the records' whole numbers, which are summed without rounding.

    Args:
        valid: bool (4, N, 16), sub-cells that are seen in both.

    Returns:
        For each the map with the constant in its last row, (B + 1, F), and the median size of what it leaves, as a
        standard deviation, (F,).
    """
    fine, bands, count = len(a.fine), len(a.fine) + len(a.others), int(valid.sum())
    compiled = available(fine, bands - fine)
    mean, covariance = standardised(native.moments(a.records, b.records) if compiled else moments(a, b, valid))
    maps, rows = [], []
    for source, target in ((np.s_[bands:], np.s_[:fine]), (np.s_[:bands], np.s_[bands : bands + fine])):
        usual = covariance[source, source][:bands, :bands] + ridge * np.eye(bands)
        slope = np.linalg.solve(usual, covariance[source, target][:bands])
        constant = mean[target] - mean[source][:bands] @ slope
        maps.append(np.vstack([slope, constant]))
        row = np.zeros((fine, 2 * bands + 1))  # of what is left, on whole numbers
        row[:, source][:, :bands] = -INPUT_STEP * slope.T
        row[:, target] = INPUT_STEP * np.eye(fine)
        row[:, -1] = -constant - INPUT_ZERO * row[:, :-1].sum(axis=1)
        rows.append(row)
    left, spreads = np.empty((fine, count), np.float32), []
    for row in rows:  # one after the other: what is left of both would be the most held
        if compiled and count:
            native.left(a.records, b.records, row, left)
            medians = native.medians(left)
        else:
            what_is_left(a, b, valid, row, left)
            medians = medians_of_rows(left)
        spreads.append(1.4826 * medians.astype(np.float64))
    return (maps[0], spreads[0]), (maps[1], spreads[1])


def moments(a: Seen, b: Seen, valid: NDArray[np.bool_]) -> F64:
    """Sums over the valid sub-cells of products of each two of: bands of one look, of the other, and 1, exact."""
    terms = 2 * (len(a.fine) + len(a.others)) + 1
    found = np.zeros((terms, terms))
    for both in _blocks(a, b, valid):
        found += np.dot(both, both.T)  # other passes are learnt from meanwhile: `@` keeps the interpreter's lock
    return found


def what_is_left(a: Seen, b: Seen, valid: NDArray[np.bool_], weights: F64, out: F32) -> None:
    """Sizes of linear maps of the same, weights (R, 2 B + 1): float32 (R, valid sub-cells), summed term by term."""
    end = 0
    for both in _blocks(a, b, valid):
        start, end = end, end + both.shape[1]
        found = np.zeros((len(weights), both.shape[1]))
        for weight, values in zip(weights.T, both, strict=True):
            found += weight[:, None] * values
        out[:, start:end] = np.abs(found)


def _blocks(a: Seen, b: Seen, valid: NDArray[np.bool_]) -> Iterator[F64]:
    """Whole numbers of both looks and 1, float64 (2 B + 1, sub-cells) of the valid ones, some cells at a time: all of a
    sample's would be the most that a run ever holds."""
    for start in range(0, len(a.records), BLOCK_CELLS):
        cells = slice(start, start + BLOCK_CELLS)
        shown = valid[:, cells]
        both = np.concatenate([a.spectra(cells), b.spectra(cells), np.ones((1, *shown.shape), np.float32)])
        yield (both.reshape(len(both), -1) if shown.all() else both[:, shown]).astype(np.float64)


def medians_of_rows(values: F32) -> F32:
    """Of each row, float32 (R,), as `np.median` but in half the time; the rows are left in another order."""
    middle, odd = divmod(values.shape[1], 2)
    if not values.size:
        return np.full(len(values), np.nan, np.float32)
    values.partition(middle, axis=1)
    upper = values[:, middle]
    return upper if odd else np.asarray((values[:, :middle].max(axis=1) + upper) / 2, dtype=np.float32)
