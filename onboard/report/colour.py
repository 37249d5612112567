"""The colours of a score map: a ramp for what was scored, and three that no score can have for what was not.

A map is drawn with indices into one palette: 0..`LEVELS`-1 the ramp, then unknown (two greys, hatched), first look, and
not looked at (transparent, so that the page shows through).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.report.outcome import CellStatus

# Inferno (S. van der Walt and N. Smith, CC0) at 17 even steps: even to the eye, and in order for the colour-blind too.
INFERNO = bytes.fromhex(
    "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69"
    "fcffa4"
)

LEVELS = 240
UNKNOWN, UNKNOWN_HATCH, FIRST_LOOK, NOT_LOOKED_AT = range(LEVELS, LEVELS + 4)
_NOT_SCORED = bytes.fromhex("9aa1ab 6b727d 4f7394")


@dataclass(frozen=True)
class Scale:
    """Scores from `low` (darkest) to `high` (brightest); what lies beyond takes the end's colour."""

    low: float
    high: float


def palette() -> NDArray[np.uint8]:
    """RGBA uint8 (LEVELS + 4, 4)."""
    anchors = np.frombuffer(INFERNO, np.uint8).reshape(-1, 3).astype(np.float64)  # (17, 3)
    at = np.linspace(0, len(anchors) - 1, LEVELS)
    ramp = [np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    table = np.zeros((LEVELS + 4, 4), np.uint8)
    table[:LEVELS, :3] = np.rint(np.stack(ramp, axis=1))
    table[LEVELS:-1, :3] = np.frombuffer(_NOT_SCORED, np.uint8).reshape(-1, 3)
    table[:-1, 3] = 255
    return table


def scale_of(values: NDArray[np.float32]) -> Scale:
    """The scale that spends its colours where scores are, 2 % to 99.8 %: a few extremes must not darken the rest."""
    if not values.size:
        return Scale(0.0, 1.0)
    low, high = (float(v) for v in np.quantile(values.astype(np.float64), [0.02, 0.998]))
    return Scale(low, high) if high > low else Scale(low, low + (abs(low) or 1.0) * 1e-3)


def paint(status: NDArray[np.uint8], score: NDArray[np.float32], scale: Scale, zoom: int) -> NDArray[np.uint8]:
    """Palette indices of a map, `zoom` x `zoom` pixels a cell.

    Args:
        status: uint8 (rows, cols), a `CellStatus`.
        score: float32 (rows, cols), nan where not scored.

    Returns:
        uint8 (rows * zoom, cols * zoom).
    """
    share = (np.nan_to_num(score, nan=scale.low) - scale.low) / (scale.high - scale.low)
    index = np.rint(np.clip(share, 0.0, 1.0) * (LEVELS - 1)).astype(np.uint8)
    index[status == CellStatus.UNKNOWN] = UNKNOWN
    index[status == CellStatus.FIRST_LOOK] = FIRST_LOOK
    index[(status == CellStatus.NOT_LOOKED_AT) | ((status == CellStatus.SCORED) & np.isnan(score))] = NOT_LOOKED_AT
    image = np.repeat(np.repeat(index, zoom, axis=0), zoom, axis=1)
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    period = max(3, zoom)
    image[(image == UNKNOWN) & ((x + y) % period < max(1, period // 3))] = UNKNOWN_HATCH
    return image
