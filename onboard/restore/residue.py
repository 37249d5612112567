"""Stripes that medians leave, told by what a denoiser takes off each column. Pure but for the network's own call.

Where texture runs across a stripe, medians of differences (`destripe`) cannot tell the two. A denoiser knows textures:
what it takes off a pixel is noise, which averages out over many lines, and a share of the stripe, which does not. So
what a column's mean tells of its stripe (`RestoreModel.stripes`) is taken off, and the denoiser looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.restore.enhance import BandScale, restore
from onboard.restore.model import Network
from onboard.restore.told import Told
from onboard.sense.grid import Window

U16 = NDArray[np.uint16]
I32 = NDArray[np.int32]
F64 = NDArray[np.float64]
LINES = 1024
"""That the denoiser looks at, in strips spread over the image, or all of a smaller one."""
STRIP, CORE = 64, 256
"""Lines and columns of a block; with its halo it bounds the memory taken."""

Block = Callable[[Window], tuple[U16, NDArray[np.bool_]]]
"""A window of even size from an even row and column -> DN with the model's halo, and which of its own are valid."""


def refined(
    offsets: I32, told: Told | None, scales: Sequence[BandScale], taken: Callable[[I32], NDArray[Any]], lines: int
) -> I32:
    """Offsets of columns that leave less of the stripes.

    Args:
        offsets: int32 (B, W), of `destripe.column_offsets`, DN.
        told: `RestoreModel.stripes`, of all bands, or of each so many; None leaves the offsets as they are.
        scales: of each band.
        taken: what a denoiser takes off each column on average, (B, W), once such offsets are off; `column_means`.
        lines: of the image.

    Returns:
        int32 (B, W), each band's of unchanged mean.
    """
    if told is None:
        return offsets
    full = np.array([one.full_scale for one in scales])[:, None]
    found = offsets.astype(np.float64)
    for turn in range(len(told.turns)):
        means = np.asarray(taken(_whole(found)), np.float64) / full
        for first in range(0, len(full), told.bands):
            group = slice(first, first + told.bands)
            stripes = told.stripes(turn, lines, means[group], found[group] / full[group])
            found[group] += full[group] * (stripes - stripes.mean(1, keepdims=True))
    return _whole(found)


def column_means(network: Network, scales: tuple[BandScale, ...], height: int, width: int, block: Block) -> F64:
    """What a denoiser takes off each column on average, DN, float64 (B, W); 0 where no pixel is valid.

    Args:
        scales: of each band.
        height, width: of the image.
        block: reads it.
    """
    sums, counts = (np.zeros((len(scales), width), np.int64) for _ in range(2))
    for first, rows in strips(height):
        for left in range(0, width, CORE):
            cols = min(CORE, width - left)
            dn, valid = block(Window(first, left, rows + rows % 2, cols + cols % 2))
            fine, _, _ = restore(network, dn, scales)
            edge = (dn.shape[1] - fine.shape[1]) // 2
            given = dn[:, edge : edge + rows, edge : edge + cols].astype(np.int64)
            good = valid[:, :rows, :cols]
            sums[:, left : left + cols] += ((given - fine[:, :rows, :cols]) * good).sum(1)
            counts[:, left : left + cols] += good.sum(1)
    return np.asarray(sums / np.maximum(counts, 1), np.float64)


def strips(height: int) -> list[tuple[int, int]]:
    """First lines, even, and numbers of lines: the whole image, or `LINES` spread over it."""
    if height <= LINES:
        return [(first, min(STRIP, height - first)) for first in range(0, height, STRIP)]
    starts = np.linspace(0, height - STRIP, LINES // STRIP).astype(int)
    return [(int(first - first % 2), STRIP) for first in starts]


def _whole(offsets: F64) -> I32:
    return np.asarray(np.rint(offsets), np.int32)
