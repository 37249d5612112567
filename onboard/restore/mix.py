"""Principal components of bands: what a denoiser of many bands sees and gives in place of them. Pure arithmetic.

Bands of one sensor differ by little, and that is where noise shows. A network of 8 bits cannot take such differences
itself; so they are taken before, of all 16 bits of the pixels, and its corrections become those of bands after it. Sums
are float32 term after term, so that every processor and every block gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]
STEPS = 127
"""Of the 8 bits on each side of 128, for a component of -1..1."""
ROWS = 32
"""Mixed at a time."""


@dataclass(frozen=True, eq=False)
class Mix:
    """Component k of bands x, as shares of their full scale: sum over b of into[k, b] (x[b] - mean[b]).

    Attributes:
        mean: float64 (B,).
        into, back: float64 (B, B), of components and of bands.
    """

    mean: NDArray[np.float64]
    into: NDArray[np.float64]
    back: NDArray[np.float64]

    @classmethod
    def of_plain(cls, raw: dict[str, Any], bands: int) -> Mix:
        """From a manifest's lists; ValueError where a shape is another, or a number is none."""
        mean, into, back = (np.array(raw[name], np.float64) for name in ("mean", "into", "back"))
        if mean.shape != (bands,) or into.shape != (bands, bands) or back.shape != (bands, bands):
            raise ValueError(f"mix is not one of {bands} bands")
        if not all(np.isfinite(part).all() for part in (mean, into, back)):
            raise ValueError("mix holds what is no finite number")
        return cls(mean, into, back)

    def levels(self, dn: U16, full_scale: Sequence[float]) -> NDArray[np.uint8]:
        """The components in 8 bits, uint8 (B, H, W), of DN (B, H, W) and the DN that are full scale of each band."""
        shift = 128 - STEPS * (self.into @ self.mean)
        weights = STEPS * self.into / np.asarray(full_scale, np.float64)
        found = _mixed(dn.astype(np.float32), weights, shift)
        return np.asarray(np.clip(np.rint(found, out=found), 128 - STEPS, 128 + STEPS), np.uint8)

    def bands(self, components: F32) -> F32:
        """Corrections of components -> of bands, as shares of their full scale, float32 (B, H, W)."""
        return _mixed(components, self.back, np.zeros(len(self.back)))


def _mixed(planes: F32, weights: NDArray[np.float64], shift: NDArray[np.float64]) -> F32:
    """shift[k] + sum over b of weights[k, b] planes[b], b after b; some rows at a time, which stay in the cache."""
    found = np.empty(planes.shape, np.float32)
    rows = weights.astype(np.float32)
    for first in range(0, planes.shape[1], ROWS):
        given, target = planes[:, first : first + ROWS], found[:, first : first + ROWS]
        term = np.empty(target.shape[1:], np.float32)
        for out, start, row in zip(target, shift.astype(np.float32), rows, strict=True):
            out.fill(start)
            for plane, weight in zip(given, row, strict=True):
                out += np.multiply(plane, weight, out=term)
    return found
