"""Stripes of a push-broom sensor: what each detector adds to its whole column. Pure arithmetic.

Neighbouring columns see nearly the same ground, so that the median over many lines of their difference is that of
their detectors' offsets, whatever edges are in the scene. The offsets are the most probable ones given these medians,
with normal errors, white offsets, and both variances taken from the medians themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

LEAST_LINES = 16
"""Under this many lines medians tell more of the scene than of the detectors."""
MEDIAN_VARIANCE = np.pi / 2
"""Of the median of n normal samples, times their variance / n."""
EDGE = 6.0
"""Standard deviations of the medians beyond which one is an edge of the scene that runs along the whole column."""
QUARTILES = 1.349
"""Between the quartiles of a standard normal variable."""


SPAN = 512
"""Columns that are read at a time, an even number: bounds memory, not the result."""

Columns = Callable[[int, int], NDArray[np.uint16]]
"""From a column to before another -> (N, columns), the same lines of the image each time."""


def spread(height: int, most: int) -> NDArray[np.intp]:
    """So many lines of an image at most, from its first to its last."""
    return np.unique(np.linspace(0, height - 1, min(most, height)).astype(np.intp))


def column_offsets(lines: NDArray[np.uint16]) -> NDArray[np.int32]:
    """What to take off each column of one band, DN.

    Args:
        lines: (N, W), any lines of the image, each over its whole width, without no-data.

    Returns:
        int32 (W,), of mean zero; zeros of too few lines, or where nothing stands out. Columns that come in equal pairs
        (a coarser band on the grid of a finer one) are one detector's.
    """
    return column_offsets_of(lambda first, end: lines[:, first:end], *lines.shape)


def column_offsets_of(columns: Columns, count: int, width: int) -> NDArray[np.int32]:
    """The same of so many lines and columns that are read some columns at a time, each two or three times."""
    if width > 2 and width % 2 == 0 and all(map(_in_pairs, _spans(columns, width))):
        return column_offsets_of(lambda first, end: columns(2 * first, 2 * end)[:, ::2], count, width // 2).repeat(2)
    nothing = np.zeros(width, np.int32)
    if count < LEAST_LINES or width < 2:
        return nothing
    step, error = np.empty(width - 1), np.empty(width - 1)
    for first in range(0, width - 1, SPAN):
        part = np.diff(columns(first, min(first + SPAN + 1, width)).astype(np.int32), axis=1)
        low, middle, high = np.percentile(part, (25, 50, 75), axis=0)
        # medians of whole numbers come in steps: the mean of the middle half does not
        inner = (part >= low) & (part <= high)
        step[first : first + part.shape[1]] = (part * inner).sum(0) / inner.sum(0)
        error[first : first + part.shape[1]] = ((high - low) / QUARTILES) ** 2 * MEDIAN_VARIANCE / count
    variance = max(float(np.median(error)), 1e-6)
    low, middle, high = np.percentile(step, (25, 50, 75))
    spread = (high - low) / QUARTILES
    white = (spread**2 - variance) / 2
    if white <= 0:
        return nothing
    seen = np.abs(step - middle) < EDGE * spread
    found = _most_probable(np.where(seen, step, 0.0), seen / variance, 1 / white)
    return np.asarray(np.rint(found - found.mean()), np.int32)


def _spans(columns: Columns, width: int) -> Iterator[NDArray[np.uint16]]:
    """All columns, `SPAN` at a time."""
    return (columns(first, min(first + SPAN, width)) for first in range(0, width, SPAN))


def _in_pairs(lines: NDArray[np.uint16]) -> bool:
    return bool((lines[:, ::2] == lines[:, 1::2]).all())


def _most_probable(step: NDArray[np.float64], weight: NDArray[np.float64], white: float) -> NDArray[np.float64]:
    """Minimise sum weight (step - diff(x))^2 + white sum x^2: a tridiagonal system, solved in fixed order."""
    width = len(step) + 1
    diagonal = np.full(width, white)
    diagonal[:-1] += weight
    diagonal[1:] += weight
    found = np.zeros(width)
    found[1:] += weight * step
    found[:-1] -= weight * step
    for i in range(1, width):
        factor = weight[i - 1] / diagonal[i - 1]
        diagonal[i] -= factor * weight[i - 1]
        found[i] += factor * found[i - 1]
    found[-1] /= diagonal[-1]
    for i in range(width - 2, -1, -1):
        found[i] = (found[i] + weight[i] * found[i + 1]) / diagonal[i]
    return found


def without(dn: NDArray[np.uint16], offsets: NDArray[np.int32]) -> NDArray[np.uint16]:
    """(..., W) less the offsets (W,), within 0..65535."""
    return np.asarray(np.clip(dn.astype(np.int32) - offsets, 0, 65535), np.uint16)
