"""What is learnt of two looks by compiled code. Twin: `change.predict`."""

from __future__ import annotations

from ctypes import byref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.native.library import address, kernels, pointer
from onboard.native.records import layout_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Records = NDArray[np.void]


def moments(now: Records, past: Records) -> F64:
    """Sums over the sub-cells that are valid in both records (N,) of products of each two of: bands of the new look, of
    the past one, and 1. float64 (2 B + 1, 2 B + 1), whole numbers."""
    layout = _layout(now, past)
    terms = 2 * (layout.fines + layout.coarses) + 1
    found = np.zeros((terms, terms), np.int64)
    kernels().onboard_moments(
        pointer(now, now.dtype), pointer(past, now.dtype), len(now), byref(layout), address(found)
    )
    return np.asarray(np.tril(found) + np.tril(found, -1).T, dtype=np.float64)


def left(now: Records, past: Records, weights: F64, out: F32) -> None:
    """Sizes of linear maps of the same, weights (R, 2 B + 1): float32 (R, valid sub-cells)."""
    layout = _layout(now, past)
    rows, count = out.shape
    valid = int(np.unpackbits((now["valid"] & past["valid"]).view(np.uint8)).sum())
    if weights.shape != (rows, 2 * (layout.fines + layout.coarses) + 1) or count != valid:
        raise ValueError(f"weights {weights.shape} of {valid} sub-cells for {out.shape}")
    kernels().onboard_left(
        pointer(now, now.dtype), pointer(past, now.dtype), len(now), byref(layout), pointer(weights, np.float64), rows,
        pointer(out, np.float32), count,
    )  # fmt: skip


def medians(values: F32) -> F32:
    """Of rows (R, n) of numbers none of which is negative, n > 0: float32 (R,)."""
    found = np.empty(len(values), np.float32)
    kernels().onboard_medians(
        pointer(values, np.float32), len(values), values.shape[1], values.shape[1], address(found)
    )
    return found


def _layout(now: Records, past: Records) -> Any:
    if now.shape != past.shape or now.dtype != past.dtype:
        raise ValueError(f"records {now.dtype} {now.shape} and {past.dtype} {past.shape}")
    return layout_of(now.dtype)
