"""Scores of cells by compiled code. Twin: `downlink.context`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard.native.library import address, kernels, pointer

F32 = NDArray[np.float32]

REACH = 2
"""Cells to each side that context.c counts."""


def in_context(score: F32, top: int, left: int, height: int, width: int) -> F32:
    """Probabilities among their neighbours of cells (height, width) of a grid (rows, cols) from (top, left) on."""
    rows, cols = score.shape
    if not (0 <= top <= top + height <= rows and 0 <= left <= left + width <= cols):
        raise ValueError(f"cells {height} x {width} from {top}, {left} on of {rows} x {cols}")
    found, room = np.empty((height, width), np.float32), np.empty((2, width + 2 * REACH), np.float32)
    if found.size:
        kernels().onboard_in_context(
            pointer(score, np.float32), rows, cols, top, left, height, width, address(room), address(found)
        )
    return found
